DELETE FROM resources WHERE kind = 'machine';
ALTER TABLE resources DROP CONSTRAINT resources_kind_check,
  ADD CONSTRAINT resources_kind_check CHECK (kind IN ('project', 'volume'));
DELETE FROM departure_steps WHERE step IN ('transfer_others', 'leave_teams');
ALTER TABLE departure_steps DROP CONSTRAINT departure_steps_step_check,
  ADD CONSTRAINT departure_steps_step_check
    CHECK (step IN ('revoke_access', 'revoke_issued', 'transfer_projects', 'transfer_volumes', 'notify'));
DROP TABLE invitation_teams;
DROP TABLE team_members;
DROP TABLE teams;
