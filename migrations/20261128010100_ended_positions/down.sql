-- What has ended is marked, since nobody would know it without the positions.
UPDATE invitations SET status = 'revoked' FROM members m WHERE invitations.status = 'pending' AND m.organization_id = invitations.organization_id
  AND m.user_id = invitations.invited_by_id AND invitations.position <= CASE invitations.role
  WHEN 'admin' THEN m.admin_invites_ended_position ELSE m.invites_ended_position END;
UPDATE invitations SET status = 'revoked' FROM users u WHERE invitations.status = 'pending' AND u.id = invitations.user_id AND u.deleted_at IS NOT NULL;
UPDATE join_codes SET status = 'revoked' FROM members m WHERE join_codes.status = 'active' AND m.organization_id = join_codes.organization_id
  AND m.user_id = join_codes.created_by_id AND join_codes.position <= CASE join_codes.role
  WHEN 'admin' THEN m.admin_invites_ended_position ELSE m.invites_ended_position END;
DELETE FROM grant_invitations g USING members m WHERE m.organization_id = g.organization_id AND m.user_id = g.invited_by_id
  AND g.position <= m.issued_ended_position;
UPDATE share_links s SET revoked_at = rollcall_now() FROM members m WHERE s.revoked_at IS NULL
  AND m.organization_id = s.organization_id AND m.user_id = s.created_by_id AND s.position <= m.issued_ended_position;
UPDATE project_transfers t SET status = 'cancelled' WHERE t.status = 'offered' AND (
  EXISTS (SELECT FROM members m WHERE t.position <= m.issued_ended_position
    AND (m.organization_id = t.organization_id AND m.user_id IN (t.offered_by_id, t.recipient_id)
      OR m.organization_id = t.to_organization_id AND m.user_id = t.recipient_id))
  OR EXISTS (SELECT FROM users u WHERE u.id IN (t.offered_by_id, t.recipient_id) AND u.deleted_at IS NOT NULL)
  OR EXISTS (SELECT FROM organizations o WHERE t.position <= o.offers_ended_position AND o.id IN (t.organization_id, t.to_organization_id)));
-- With it, that step of departures is done.
UPDATE departure_steps SET completed_at = rollcall_now(), total = coalesce(total, done) WHERE step = 'revoke_issued' AND completed_at IS NULL;

ALTER TABLE organizations DROP COLUMN offers_ended_position;
ALTER TABLE members
  DROP COLUMN admin_invites_ended_position, DROP COLUMN invites_ended_position, DROP COLUMN issued_ended_position;
ALTER TABLE project_transfers DROP COLUMN position;
ALTER TABLE share_links DROP COLUMN position;
ALTER TABLE grant_invitations DROP COLUMN position;
ALTER TABLE join_codes DROP COLUMN position;
ALTER TABLE invitations DROP COLUMN position;
