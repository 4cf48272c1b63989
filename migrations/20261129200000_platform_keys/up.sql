-- Platform keys, with which a platform's own services act (R85). What such a key issues has no person behind it.

CREATE TABLE platform_keys (
  id uuid CONSTRAINT platform_keys_pkey PRIMARY KEY,
  name text NOT NULL,
  -- The first characters of the newest secret, to tell keys apart.
  prefix text NOT NULL,
  scopes text[] NOT NULL CONSTRAINT platform_keys_scopes_check CHECK (
    cardinality(scopes) > 0 AND scopes <@ ARRAY['read', 'users_write', 'organizations_write', 'members_write',
      'resources_write', 'access_check', 'events_read', 'usage_report', 'act_for_users']),
  -- Whether the key reaches only the organizations in platform_key_organizations, even if there are none left.
  limited boolean NOT NULL,
  created_at timestamptz NOT NULL,
  last_used_at timestamptz,
  expires_at timestamptz,
  revoked_at timestamptz
);

CREATE TABLE platform_key_organizations (
  platform_key_id uuid NOT NULL CONSTRAINT platform_key_organizations_key_fkey REFERENCES platform_keys (id),
  organization_id uuid NOT NULL
    CONSTRAINT platform_key_organizations_organization_fkey REFERENCES organizations (id) ON DELETE CASCADE,
  CONSTRAINT platform_key_organizations_pkey PRIMARY KEY (platform_key_id, organization_id)
);
CREATE INDEX platform_key_organizations_organization_idx ON platform_key_organizations (organization_id);

-- A key's secrets: the newest, and those before it while they still work.
CREATE TABLE platform_key_secrets (
  digest bytea CONSTRAINT platform_key_secrets_pkey PRIMARY KEY,
  platform_key_id uuid NOT NULL CONSTRAINT platform_key_secrets_key_fkey REFERENCES platform_keys (id),
  -- Null for the newest one.
  ends_at timestamptz
);
CREATE UNIQUE INDEX platform_key_secrets_newest_key ON platform_key_secrets (platform_key_id) WHERE ends_at IS NULL;
CREATE INDEX platform_key_secrets_key_idx ON platform_key_secrets (platform_key_id);

ALTER TABLE audit_events
  DROP CONSTRAINT audit_events_actor_kind_check,
  ADD CONSTRAINT audit_events_actor_kind_check
    CHECK (actor_kind IN ('user', 'api_key', 'service', 'platform', 'staff', 'system'));

ALTER TABLE members
  DROP CONSTRAINT members_joined_via_check,
  ADD CONSTRAINT members_joined_via_check
    CHECK (joined_via IN ('founder', 'staff', 'platform', 'invitation', 'join_code'));

-- Nobody in particular deleted an organization that a platform key deleted.
ALTER TABLE organizations
  DROP CONSTRAINT organizations_deleted_by_someone,
  ADD CONSTRAINT organizations_deleted_by_someone CHECK (deleted_at IS NOT NULL OR deleted_by_id IS NULL);

ALTER TABLE invitations ALTER COLUMN invited_by_id DROP NOT NULL;
ALTER TABLE join_codes ALTER COLUMN created_by_id DROP NOT NULL;
ALTER TABLE grants ALTER COLUMN granted_by_id DROP NOT NULL;
ALTER TABLE grant_invitations ALTER COLUMN invited_by_id DROP NOT NULL;
ALTER TABLE share_links ALTER COLUMN created_by_id DROP NOT NULL;
ALTER TABLE webhooks ALTER COLUMN secret_made_by_id DROP NOT NULL;
