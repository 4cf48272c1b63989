DROP INDEX grants_collaborator_idx;
DROP FUNCTION collaborator_id;
DROP INDEX grants_team_idx;
DROP INDEX grants_outside_idx;
DROP TRIGGER grants_outside ON grants;
DROP FUNCTION grants_set_outside;
ALTER TABLE grants DROP COLUMN outside;
DROP INDEX team_members_outside_idx;
DELETE FROM team_members t WHERE NOT EXISTS (
  SELECT FROM members m WHERE m.organization_id = t.organization_id AND m.user_id = t.user_id AND m.status = 'active');
ALTER TABLE team_members DROP COLUMN outside,
  DROP CONSTRAINT team_members_user_fkey,
  ADD CONSTRAINT team_members_member_fkey FOREIGN KEY (organization_id, user_id) REFERENCES members (organization_id, user_id);
