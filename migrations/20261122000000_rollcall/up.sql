-- Rollcall's tables. Constraints are named because the code maps violations by name.
-- Ids are UUIDv7, so that ordering by id is ordering by creation.

-- The one clock. Tests shift it: ALTER DATABASE … SET rollcall.clock_offset = '24 hours'.
CREATE FUNCTION rollcall_now() RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT clock_timestamp() + coalesce(nullif(current_setting('rollcall.clock_offset', true), ''), '0')::interval
$$;

-- The job queue follows the same clock (its own migration defined the function).
CREATE OR REPLACE FUNCTION job_clock() RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$ SELECT rollcall_now() $$;

-- ------------------------------------------------------------------ people

CREATE TABLE users (
  id uuid CONSTRAINT users_pkey PRIMARY KEY,
  email text NOT NULL CONSTRAINT users_email_lower CHECK (email = lower(email)),
  username text NOT NULL CONSTRAINT users_username_lower CHECK (username = lower(username)),
  name text NOT NULL,
  avatar_url text,
  -- Whose invitation created the account: only that organization may suspend it (D6).
  origin_organization_id uuid,
  suspended_at timestamptz,
  -- Null: the personal organization pays.
  default_bill_to_id uuid,
  created_at timestamptz NOT NULL,
  CONSTRAINT users_email_key UNIQUE (email),
  CONSTRAINT users_username_key UNIQUE (username)
);

CREATE TABLE organizations (
  id uuid CONSTRAINT organizations_pkey PRIMARY KEY,
  -- Set on the personal organization of an account (D5).
  personal_user_id uuid CONSTRAINT organizations_personal_user_id_fkey REFERENCES users (id),
  name text NOT NULL,
  slug text CONSTRAINT organizations_slug_lower CHECK (slug = lower(slug)),
  full_name text,
  description text,
  website text,
  location text,
  sector text,
  university_name text,
  logo_url text,
  member_directory text NOT NULL DEFAULT 'leadership'
    CONSTRAINT organizations_member_directory_check CHECK (member_directory IN ('hidden', 'leadership', 'everyone')),
  admin_powers text NOT NULL DEFAULT 'standard'
    CONSTRAINT organizations_admin_powers_check CHECK (admin_powers IN ('standard', 'owner_equivalent')),
  external_sharing text NOT NULL DEFAULT 'allowed'
    CONSTRAINT organizations_external_sharing_check CHECK (external_sharing IN ('allowed', 'members_only')),
  default_billable_activities boolean NOT NULL DEFAULT true,
  default_shared_apps boolean NOT NULL DEFAULT true,
  default_shared_projects text NOT NULL DEFAULT 'contribute'
    CONSTRAINT organizations_default_shared_projects_check
    CHECK (default_shared_projects IN ('none', 'view', 'upload', 'contribute', 'administer')),
  invitation_days integer NOT NULL DEFAULT 7
    CONSTRAINT organizations_invitation_days_check CHECK (invitation_days BETWEEN 1 AND 30),
  created_at timestamptz NOT NULL,
  deleted_at timestamptz,
  CONSTRAINT organizations_personal_user_id_key UNIQUE (personal_user_id),
  CONSTRAINT organizations_slug_key UNIQUE (slug),
  CONSTRAINT organizations_personal_has_no_slug CHECK (personal_user_id IS NULL OR slug IS NULL)
);

ALTER TABLE users
  ADD CONSTRAINT users_origin_organization_id_fkey FOREIGN KEY (origin_organization_id) REFERENCES organizations (id) ON DELETE SET NULL,
  ADD CONSTRAINT users_default_bill_to_id_fkey FOREIGN KEY (default_bill_to_id) REFERENCES organizations (id) ON DELETE SET NULL;

CREATE TABLE members (
  id uuid CONSTRAINT members_pkey PRIMARY KEY,
  organization_id uuid NOT NULL CONSTRAINT members_organization_id_fkey REFERENCES organizations (id),
  user_id uuid NOT NULL CONSTRAINT members_user_id_fkey REFERENCES users (id),
  role text NOT NULL CONSTRAINT members_role_check CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
  status text NOT NULL CONSTRAINT members_status_check CHECK (status IN ('active', 'left', 'removed', 'deactivated')),
  billable_activities boolean NOT NULL,
  shared_apps boolean NOT NULL,
  shared_projects text NOT NULL CONSTRAINT members_shared_projects_check
    CHECK (shared_projects IN ('none', 'view', 'upload', 'contribute', 'administer')),
  joined_at timestamptz NOT NULL,
  joined_via text NOT NULL CONSTRAINT members_joined_via_check CHECK (joined_via IN ('founder', 'staff', 'invitation', 'join_code')),
  -- One membership per user and organization, for good (R45).
  CONSTRAINT members_organization_id_user_id_key UNIQUE (organization_id, user_id),
  CONSTRAINT members_id_organization_id_key UNIQUE (id, organization_id)
);
-- Never two owners (D2); the trigger below sees that there is never none.
CREATE UNIQUE INDEX members_one_owner_key ON members (organization_id) WHERE role = 'owner' AND status = 'active';
CREATE INDEX members_user_id_idx ON members (user_id, status, organization_id);
CREATE INDEX members_status_idx ON members (organization_id, status, joined_at, id);

CREATE FUNCTION require_one_owner() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  organization uuid;
BEGIN
  IF TG_TABLE_NAME = 'organizations' THEN
    organization := NEW.id;
  ELSE
    organization := OLD.organization_id;
  END IF;
  IF EXISTS (SELECT FROM organizations WHERE id = organization)
     AND NOT EXISTS (SELECT FROM members WHERE organization_id = organization AND role = 'owner' AND status = 'active') THEN
    RAISE EXCEPTION 'organization % would be left without an owner', organization
      USING ERRCODE = 'check_violation', CONSTRAINT = 'organizations_have_an_owner';
  END IF;
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER organizations_have_an_owner AFTER INSERT ON organizations
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_one_owner();
CREATE CONSTRAINT TRIGGER members_leave_an_owner AFTER UPDATE ON members
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (OLD.role = 'owner' AND OLD.status = 'active') EXECUTE FUNCTION require_one_owner();
CREATE CONSTRAINT TRIGGER members_leave_an_owner_on_delete AFTER DELETE ON members
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (OLD.role = 'owner' AND OLD.status = 'active') EXECUTE FUNCTION require_one_owner();

-- ------------------------------------------------------------------ signing in

CREATE TABLE sign_in_requests (
  id uuid CONSTRAINT sign_in_requests_pkey PRIMARY KEY,
  email text NOT NULL,
  user_agent text,
  -- The invitation that is accepted with this sign-in (R20).
  invitation_id uuid,
  digit_tries integer NOT NULL DEFAULT 0,
  used_at timestamptz,
  created_at timestamptz NOT NULL
);
CREATE INDEX sign_in_requests_email_idx ON sign_in_requests (email, id);
CREATE INDEX sign_in_requests_created_at_idx ON sign_in_requests (created_at);

CREATE TABLE sessions (
  id uuid CONSTRAINT sessions_pkey PRIMARY KEY,
  user_id uuid NOT NULL CONSTRAINT sessions_user_id_fkey REFERENCES users (id),
  token_digest bytea NOT NULL,
  active_organization_id uuid CONSTRAINT sessions_active_organization_id_fkey REFERENCES organizations (id) ON DELETE SET NULL,
  user_agent text,
  created_at timestamptz NOT NULL,
  last_seen_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  CONSTRAINT sessions_token_digest_key UNIQUE (token_digest)
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id, id);

CREATE TABLE api_keys (
  id uuid CONSTRAINT api_keys_pkey PRIMARY KEY,
  organization_id uuid NOT NULL,
  user_id uuid NOT NULL,
  name text NOT NULL,
  -- The first characters of the secret, to tell keys apart.
  prefix text NOT NULL,
  secret_digest bytea NOT NULL,
  scope text NOT NULL CONSTRAINT api_keys_scope_check CHECK (scope IN ('read', 'write')),
  created_at timestamptz NOT NULL,
  last_used_at timestamptz,
  expires_at timestamptz,
  revoked_at timestamptz,
  CONSTRAINT api_keys_secret_digest_key UNIQUE (secret_digest),
  CONSTRAINT api_keys_member_fkey FOREIGN KEY (organization_id, user_id) REFERENCES members (organization_id, user_id)
);
CREATE INDEX api_keys_user_id_idx ON api_keys (user_id, id) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_member_idx ON api_keys (organization_id, user_id) WHERE revoked_at IS NULL;

-- Counted and committed before what they guard is checked, so that every process counts together.
CREATE TABLE attempts (
  bucket text NOT NULL,
  subject text NOT NULL,
  window_ends_at timestamptz NOT NULL,
  count integer NOT NULL,
  CONSTRAINT attempts_pkey PRIMARY KEY (bucket, subject)
);
CREATE INDEX attempts_window_ends_at_idx ON attempts (window_ends_at);

-- ------------------------------------------------------------------ joining

CREATE TABLE invitations (
  id uuid CONSTRAINT invitations_pkey PRIMARY KEY,
  organization_id uuid NOT NULL,
  -- One of the two: an address, or the account that was named by username (whose address stays hidden, R25).
  email text CONSTRAINT invitations_email_lower CHECK (email = lower(email)),
  user_id uuid CONSTRAINT invitations_user_id_fkey REFERENCES users (id),
  name text,
  role text NOT NULL CONSTRAINT invitations_role_check CHECK (role IN ('admin', 'member', 'viewer')),
  billable_activities boolean NOT NULL,
  shared_apps boolean NOT NULL,
  shared_projects text NOT NULL CONSTRAINT invitations_shared_projects_check
    CHECK (shared_projects IN ('none', 'view', 'upload', 'contribute', 'administer')),
  invited_by_id uuid NOT NULL,
  status text NOT NULL DEFAULT 'pending' CONSTRAINT invitations_status_check
    CHECK (status IN ('pending', 'accepted', 'declined', 'revoked', 'expired')),
  -- Raised by a resend: the token of an earlier version is dead (R23).
  token_version integer NOT NULL DEFAULT 1,
  delivery text NOT NULL DEFAULT 'queued' CONSTRAINT invitations_delivery_check
    CHECK (delivery IN ('queued', 'sent', 'deferred', 'failed')),
  delivery_error text,
  created_at timestamptz NOT NULL,
  sent_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  CONSTRAINT invitations_one_invitee CHECK (num_nonnulls(email, user_id) = 1),
  CONSTRAINT invitations_id_organization_id_key UNIQUE (id, organization_id),
  CONSTRAINT invitations_inviter_fkey FOREIGN KEY (organization_id, invited_by_id) REFERENCES members (organization_id, user_id)
);
-- One open invitation per address or account and organization.
CREATE UNIQUE INDEX invitations_pending_email_key ON invitations (organization_id, email) WHERE status = 'pending';
CREATE UNIQUE INDEX invitations_pending_user_key ON invitations (organization_id, user_id) WHERE status = 'pending';
CREATE INDEX invitations_organization_id_idx ON invitations (organization_id, id);
CREATE INDEX invitations_status_idx ON invitations (organization_id, status, id);
CREATE INDEX invitations_email_idx ON invitations (email, id) WHERE status = 'pending';
CREATE INDEX invitations_user_id_idx ON invitations (user_id, id) WHERE status = 'pending';
CREATE INDEX invitations_inviter_idx ON invitations (organization_id, invited_by_id) WHERE status = 'pending';
ALTER TABLE sign_in_requests ADD CONSTRAINT sign_in_requests_invitation_id_fkey
  FOREIGN KEY (invitation_id) REFERENCES invitations (id) ON DELETE SET NULL;
CREATE INDEX sign_in_requests_invitation_id_idx ON sign_in_requests (invitation_id) WHERE invitation_id IS NOT NULL;

CREATE TABLE join_codes (
  id uuid CONSTRAINT join_codes_pkey PRIMARY KEY,
  organization_id uuid NOT NULL,
  digest bytea NOT NULL,
  role text NOT NULL CONSTRAINT join_codes_role_check CHECK (role IN ('admin', 'member')),
  status text NOT NULL DEFAULT 'active' CONSTRAINT join_codes_status_check CHECK (status IN ('active', 'used', 'revoked', 'expired')),
  label text,
  -- The last two digits, to tell codes apart.
  hint text NOT NULL,
  created_by_id uuid NOT NULL,
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  used_by_id uuid,
  used_at timestamptz,
  CONSTRAINT join_codes_id_organization_id_key UNIQUE (id, organization_id),
  CONSTRAINT join_codes_creator_fkey FOREIGN KEY (organization_id, created_by_id) REFERENCES members (organization_id, user_id),
  CONSTRAINT join_codes_user_fkey FOREIGN KEY (organization_id, used_by_id) REFERENCES members (organization_id, user_id)
);
CREATE UNIQUE INDEX join_codes_active_digest_key ON join_codes (digest) WHERE status = 'active';
-- One active admin code per organization (R27).
CREATE UNIQUE INDEX join_codes_one_admin_code_key ON join_codes (organization_id) WHERE role = 'admin' AND status = 'active';
CREATE INDEX join_codes_organization_id_idx ON join_codes (organization_id, id);
CREATE INDEX join_codes_status_idx ON join_codes (organization_id, status, id);
CREATE INDEX join_codes_creator_idx ON join_codes (organization_id, created_by_id) WHERE status = 'active';

-- ------------------------------------------------------------------ resources

CREATE TABLE resources (
  id uuid CONSTRAINT resources_pkey PRIMARY KEY,
  organization_id uuid NOT NULL CONSTRAINT resources_organization_id_fkey REFERENCES organizations (id),
  kind text NOT NULL CONSTRAINT resources_kind_check CHECK (kind IN ('project', 'volume')),
  name text NOT NULL,
  description text,
  owner_id uuid NOT NULL CONSTRAINT resources_owner_id_fkey REFERENCES users (id),
  -- Since when the owner owns it: a cascade passes on only what was owned before the departure.
  owned_since timestamptz NOT NULL,
  created_by_id uuid NOT NULL CONSTRAINT resources_created_by_id_fkey REFERENCES users (id),
  visibility text NOT NULL DEFAULT 'private' CONSTRAINT resources_visibility_check CHECK (visibility IN ('private', 'organization')),
  size_bytes bigint NOT NULL DEFAULT 0 CONSTRAINT resources_size_bytes_check CHECK (size_bytes >= 0),
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  CONSTRAINT resources_id_organization_id_key UNIQUE (id, organization_id)
);
CREATE INDEX resources_organization_id_idx ON resources (organization_id, id);
CREATE INDEX resources_kind_idx ON resources (organization_id, kind, id);
CREATE INDEX resources_owner_idx ON resources (organization_id, owner_id, kind, id);
CREATE INDEX resources_owner_id_idx ON resources (owner_id, id);
CREATE INDEX resources_visible_idx ON resources (organization_id, id) WHERE visibility = 'organization';

-- ------------------------------------------------------------------ leaving

CREATE TABLE departures (
  id uuid CONSTRAINT departures_pkey PRIMARY KEY,
  organization_id uuid NOT NULL,
  member_id uuid NOT NULL,
  user_id uuid NOT NULL,
  kind text NOT NULL CONSTRAINT departures_kind_check CHECK (kind IN ('leave', 'remove', 'deactivate')),
  status text NOT NULL DEFAULT 'running' CONSTRAINT departures_status_check
    CHECK (status IN ('running', 'completed', 'failed', 'reverting', 'reverted')),
  -- Who receives what the leaver owned: the owner at the time, or the one that ownership passed to meanwhile (R43).
  new_owner_id uuid NOT NULL CONSTRAINT departures_new_owner_id_fkey REFERENCES users (id),
  started_by_id uuid CONSTRAINT departures_started_by_id_fkey REFERENCES users (id),
  reason text,
  -- What the person held, for a revert and the receipt.
  role text NOT NULL CONSTRAINT departures_role_check CHECK (role IN ('admin', 'member', 'viewer')),
  suspended_account boolean NOT NULL,
  error text,
  started_at timestamptz NOT NULL,
  completed_at timestamptz,
  CONSTRAINT departures_id_organization_id_key UNIQUE (id, organization_id),
  CONSTRAINT departures_member_fkey FOREIGN KEY (member_id, organization_id) REFERENCES members (id, organization_id)
);
CREATE INDEX departures_organization_id_idx ON departures (organization_id, id);
CREATE INDEX departures_status_idx ON departures (organization_id, status, id);
CREATE INDEX departures_member_id_idx ON departures (member_id, id);

CREATE TABLE departure_steps (
  departure_id uuid NOT NULL CONSTRAINT departure_steps_departure_id_fkey REFERENCES departures (id) ON DELETE CASCADE,
  step text NOT NULL CONSTRAINT departure_steps_step_check
    CHECK (step IN ('revoke_access', 'revoke_issued', 'transfer_projects', 'transfer_volumes', 'notify')),
  position integer NOT NULL,
  done integer NOT NULL DEFAULT 0,
  total integer,
  completed_at timestamptz,
  CONSTRAINT departure_steps_pkey PRIMARY KEY (departure_id, step)
);

CREATE TABLE resource_moves (
  id uuid CONSTRAINT resource_moves_pkey PRIMARY KEY,
  organization_id uuid NOT NULL,
  departure_id uuid NOT NULL,
  -- Null once the resource is deleted; name and kind keep the receipt readable.
  resource_id uuid CONSTRAINT resource_moves_resource_id_fkey REFERENCES resources (id) ON DELETE SET NULL,
  resource_kind text NOT NULL,
  resource_name text NOT NULL,
  from_id uuid NOT NULL CONSTRAINT resource_moves_from_id_fkey REFERENCES users (id),
  to_id uuid NOT NULL CONSTRAINT resource_moves_to_id_fkey REFERENCES users (id),
  moved_at timestamptz NOT NULL,
  CONSTRAINT resource_moves_departure_fkey FOREIGN KEY (departure_id, organization_id) REFERENCES departures (id, organization_id)
);
CREATE INDEX resource_moves_departure_idx ON resource_moves (departure_id, id);
CREATE INDEX resource_moves_resource_id_idx ON resource_moves (resource_id);

-- ------------------------------------------------------------------ audit

-- No foreign keys: the log outlives what it tells of (R48).
CREATE TABLE audit_heads (
  organization_id uuid CONSTRAINT audit_heads_pkey PRIMARY KEY,
  sequence bigint NOT NULL,
  hash bytea NOT NULL
);

CREATE TABLE audit_events (
  organization_id uuid NOT NULL,
  sequence bigint NOT NULL,
  id uuid NOT NULL,
  action text NOT NULL,
  actor_kind text NOT NULL CONSTRAINT audit_events_actor_kind_check CHECK (actor_kind IN ('user', 'api_key', 'service', 'staff', 'system')),
  -- The user who acted, by session or by a key of theirs.
  actor_id uuid,
  -- The TypeID of what was acted on.
  target_id text,
  summary text NOT NULL,
  metadata jsonb NOT NULL,
  occurred_at timestamptz NOT NULL,
  hash bytea NOT NULL,
  CONSTRAINT audit_events_pkey PRIMARY KEY (organization_id, sequence),
  CONSTRAINT audit_events_id_key UNIQUE (id)
);
CREATE INDEX audit_events_action_idx ON audit_events (organization_id, action, sequence);
CREATE INDEX audit_events_actor_idx ON audit_events (organization_id, actor_id, sequence);
CREATE INDEX audit_events_target_idx ON audit_events (organization_id, target_id, sequence);
CREATE INDEX audit_events_occurred_at_idx ON audit_events (organization_id, occurred_at);

-- SHA-256 over the previous hash and the event as JSON text with sorted keys (jsonb's own text form).
CREATE FUNCTION audit_hash(
  previous bytea, organization_id uuid, sequence bigint, id uuid, action text, actor_kind text,
  actor_id uuid, target_id text, summary text, metadata jsonb, occurred_at timestamptz
) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT sha256(previous || convert_to(jsonb_build_object(
    'organization_id', organization_id, 'sequence', sequence, 'id', id, 'action', action,
    'actor_kind', actor_kind, 'actor_id', actor_id, 'target_id', target_id, 'summary', summary,
    'metadata', metadata, 'occurred_at', (extract(epoch FROM occurred_at) * 1000000)::bigint
  )::text, 'UTF8'))
$$;

-- The head row is locked from here to the commit, so that sequence is commit order.
CREATE FUNCTION audit_append(
  p_organization_id uuid, p_id uuid, p_action text, p_actor_kind text,
  p_actor_id uuid, p_target_id text, p_summary text, p_metadata jsonb
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  head audit_heads%ROWTYPE;
  p_now timestamptz;
  p_hash bytea;
BEGIN
  SELECT * INTO head FROM audit_heads WHERE organization_id = p_organization_id FOR UPDATE;
  IF NOT FOUND THEN
    INSERT INTO audit_heads VALUES (p_organization_id, 0, '') ON CONFLICT DO NOTHING;
    SELECT * INTO head FROM audit_heads WHERE organization_id = p_organization_id FOR UPDATE;
  END IF;
  p_now := rollcall_now();
  p_hash := audit_hash(head.hash, p_organization_id, head.sequence + 1, p_id, p_action, p_actor_kind,
                       p_actor_id, p_target_id, p_summary, p_metadata, p_now);
  INSERT INTO audit_events (organization_id, sequence, id, action, actor_kind, actor_id, target_id, summary, metadata, occurred_at, hash)
  VALUES (p_organization_id, head.sequence + 1, p_id, p_action, p_actor_kind, p_actor_id, p_target_id, p_summary, p_metadata, p_now, p_hash);
  UPDATE audit_heads SET sequence = head.sequence + 1, hash = p_hash WHERE organization_id = p_organization_id;
END
$$;

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit log only grows' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_events_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
