-- Whatever a platform key issued can't be kept by a version that knows no such keys.
DELETE FROM webhooks WHERE secret_made_by_id IS NULL;
DELETE FROM share_links WHERE created_by_id IS NULL;
DELETE FROM grant_invitations WHERE invited_by_id IS NULL;
DELETE FROM grants WHERE granted_by_id IS NULL;
DELETE FROM join_codes WHERE created_by_id IS NULL;
DELETE FROM invitations WHERE invited_by_id IS NULL;
ALTER TABLE webhooks ALTER COLUMN secret_made_by_id SET NOT NULL;
ALTER TABLE share_links ALTER COLUMN created_by_id SET NOT NULL;
ALTER TABLE grant_invitations ALTER COLUMN invited_by_id SET NOT NULL;
ALTER TABLE grants ALTER COLUMN granted_by_id SET NOT NULL;
ALTER TABLE join_codes ALTER COLUMN created_by_id SET NOT NULL;
ALTER TABLE invitations ALTER COLUMN invited_by_id SET NOT NULL;

UPDATE organizations o SET deleted_by_id = m.user_id FROM members m
WHERE o.deleted_at IS NOT NULL AND o.deleted_by_id IS NULL AND m.organization_id = o.id AND m.role = 'owner' AND m.status = 'active';
ALTER TABLE organizations
  DROP CONSTRAINT organizations_deleted_by_someone,
  ADD CONSTRAINT organizations_deleted_by_someone CHECK ((deleted_at IS NULL) = (deleted_by_id IS NULL));
UPDATE members SET joined_via = 'staff' WHERE joined_via = 'platform';
ALTER TABLE members
  DROP CONSTRAINT members_joined_via_check,
  ADD CONSTRAINT members_joined_via_check CHECK (joined_via IN ('founder', 'staff', 'invitation', 'join_code'));

-- The log only grows, so what platform keys did stays in it.
ALTER TABLE audit_events
  DROP CONSTRAINT audit_events_actor_kind_check,
  ADD CONSTRAINT audit_events_actor_kind_check
    CHECK (actor_kind IN ('user', 'api_key', 'service', 'staff', 'system')) NOT VALID;

DROP TABLE platform_key_secrets;
DROP TABLE platform_key_organizations;
DROP TABLE platform_keys;
