-- Resources of every kind, what is shared of them with whom, and who pays.

-- ------------------------------------------------------------------ resources

ALTER TABLE resources DROP CONSTRAINT resources_kind_check,
  ADD CONSTRAINT resources_kind_check CHECK (kind IN ('project', 'volume', 'sample', 'document', 'machine', 'app',
    'workspace', 'source', 'source_group', 'collection'));
ALTER TABLE resources
  -- The project, workspace or source group it lies in: of the same organization, and contents follow it into another.
  ADD COLUMN container_id uuid,
  -- From here on an app's organization can't change (R60).
  ADD COLUMN published_at timestamptz CONSTRAINT resources_published_apps CHECK (published_at IS NULL OR kind = 'app'),
  -- While a project moves to another organization, it and what lies in it are read-only (R61).
  ADD COLUMN moving boolean NOT NULL DEFAULT false CONSTRAINT resources_moving_projects CHECK (NOT moving OR kind = 'project'),
  ADD CONSTRAINT resources_container_fkey FOREIGN KEY (container_id, organization_id)
    REFERENCES resources (id, organization_id) ON UPDATE CASCADE;
CREATE INDEX resources_container_idx ON resources (container_id, kind, id) WHERE container_id IS NOT NULL;
-- Lists go kind by kind, so that one index serves them with a kind and without.
DROP INDEX resources_organization_id_idx;
DROP INDEX resources_owner_id_idx;
DROP INDEX resources_visible_idx;
CREATE INDEX resources_visible_idx ON resources (organization_id, kind, id) WHERE visibility = 'organization';
CREATE INDEX resources_search_idx ON resources USING gin (organization_id, lower(name) gin_trgm_ops);

-- What collections gather, wherever in the organization it lies (R73).
CREATE TABLE collection_items (
  organization_id uuid NOT NULL,
  collection_id uuid NOT NULL,
  resource_id uuid NOT NULL,
  added_at timestamptz NOT NULL,
  CONSTRAINT collection_items_pkey PRIMARY KEY (collection_id, resource_id),
  CONSTRAINT collection_items_not_itself CHECK (collection_id <> resource_id),
  CONSTRAINT collection_items_collection_fkey FOREIGN KEY (collection_id, organization_id)
    REFERENCES resources (id, organization_id) ON DELETE CASCADE,
  CONSTRAINT collection_items_resource_fkey FOREIGN KEY (resource_id, organization_id)
    REFERENCES resources (id, organization_id) ON DELETE CASCADE
);
CREATE INDEX collection_items_resource_idx ON collection_items (resource_id);
CREATE INDEX collection_items_organization_idx ON collection_items (organization_id);

-- How much an organization's resources take up: kept with every change of them, since nobody can add up millions for each (R64).
CREATE TABLE organization_storage (
  organization_id uuid CONSTRAINT organization_storage_pkey PRIMARY KEY
    CONSTRAINT organization_storage_organization_id_fkey REFERENCES organizations (id),
  used_bytes numeric NOT NULL CONSTRAINT organization_storage_used_bytes_check CHECK (used_bytes >= 0)
);
INSERT INTO organization_storage (organization_id, used_bytes)
  SELECT organization_id, sum(size_bytes) FROM resources GROUP BY organization_id;

-- ------------------------------------------------------------------ sharing

-- How much a level allows, to compare them.
CREATE FUNCTION access_rank(level text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE level WHEN 'administer' THEN 4 WHEN 'contribute' THEN 3 WHEN 'upload' THEN 2 WHEN 'view' THEN 1 ELSE 0 END
$$;

-- The order in which grants are made and memberships end, whatever clocks say.
CREATE SEQUENCE grant_positions;
ALTER TABLE members
  -- Once the membership has ended, the person's grants before this position sleep; those after it were made for someone outside (R37).
  ADD COLUMN ended_at_position bigint NOT NULL DEFAULT 0;

CREATE TABLE grants (
  id uuid CONSTRAINT grants_pkey PRIMARY KEY,
  organization_id uuid NOT NULL,
  resource_id uuid NOT NULL,
  -- One of the three.
  user_id uuid CONSTRAINT grants_user_id_fkey REFERENCES users (id),
  team_id uuid,
  grantee_organization_id uuid CONSTRAINT grants_grantee_organization_id_fkey REFERENCES organizations (id) ON DELETE CASCADE,
  level text NOT NULL CONSTRAINT grants_level_check CHECK (level IN ('view', 'upload', 'contribute', 'administer')),
  position bigint NOT NULL DEFAULT nextval('grant_positions'),
  granted_by_id uuid NOT NULL CONSTRAINT grants_granted_by_id_fkey REFERENCES users (id),
  created_at timestamptz NOT NULL,
  CONSTRAINT grants_one_grantee CHECK (num_nonnulls(user_id, team_id, grantee_organization_id) = 1),
  CONSTRAINT grants_resource_fkey FOREIGN KEY (resource_id, organization_id)
    REFERENCES resources (id, organization_id) ON UPDATE CASCADE ON DELETE CASCADE,
  CONSTRAINT grants_team_fkey FOREIGN KEY (organization_id, team_id) REFERENCES teams (organization_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX grants_user_key ON grants (user_id, resource_id) WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX grants_team_key ON grants (team_id, resource_id) WHERE team_id IS NOT NULL;
CREATE UNIQUE INDEX grants_organization_key ON grants (grantee_organization_id, resource_id) WHERE grantee_organization_id IS NOT NULL;
CREATE INDEX grants_resource_idx ON grants (resource_id, id);
CREATE INDEX grants_member_idx ON grants (organization_id, user_id, id) WHERE user_id IS NOT NULL;

-- What was shared with an address that has no account: a grant as soon as it has one.
CREATE TABLE grant_invitations (
  id uuid CONSTRAINT grant_invitations_pkey PRIMARY KEY,
  organization_id uuid NOT NULL,
  resource_id uuid NOT NULL,
  email text NOT NULL CONSTRAINT grant_invitations_email_lower CHECK (email = lower(email)),
  level text NOT NULL CONSTRAINT grant_invitations_level_check CHECK (level IN ('view', 'upload', 'contribute', 'administer')),
  invited_by_id uuid NOT NULL CONSTRAINT grant_invitations_invited_by_id_fkey REFERENCES users (id),
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  CONSTRAINT grant_invitations_key UNIQUE (resource_id, email),
  CONSTRAINT grant_invitations_resource_fkey FOREIGN KEY (resource_id, organization_id)
    REFERENCES resources (id, organization_id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX grant_invitations_email_idx ON grant_invitations (email);
CREATE INDEX grant_invitations_inviter_idx ON grant_invitations (organization_id, invited_by_id);
CREATE INDEX grant_invitations_expires_at_idx ON grant_invitations (expires_at);

-- Links to collections, for whoever has them (R73).
CREATE TABLE share_links (
  id uuid CONSTRAINT share_links_pkey PRIMARY KEY,
  organization_id uuid NOT NULL,
  resource_id uuid NOT NULL,
  token_digest bytea NOT NULL,
  -- The last characters of the link, to tell links apart.
  hint text NOT NULL,
  created_by_id uuid NOT NULL CONSTRAINT share_links_created_by_id_fkey REFERENCES users (id),
  created_at timestamptz NOT NULL,
  expires_at timestamptz,
  revoked_at timestamptz,
  CONSTRAINT share_links_token_digest_key UNIQUE (token_digest),
  CONSTRAINT share_links_resource_fkey FOREIGN KEY (resource_id, organization_id)
    REFERENCES resources (id, organization_id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX share_links_resource_idx ON share_links (resource_id, id);
CREATE INDEX share_links_creator_idx ON share_links (organization_id, created_by_id) WHERE revoked_at IS NULL;

-- ------------------------------------------------------------------ paying

ALTER TABLE organizations
  -- Null: as much as like.
  ADD COLUMN storage_limit_bytes bigint CONSTRAINT organizations_storage_limit_bytes_check CHECK (storage_limit_bytes >= 0),
  ADD COLUMN run_limit integer CONSTRAINT organizations_run_limit_check CHECK (run_limit >= 0),
  ADD COLUMN billing_account_name text,
  ADD COLUMN billing_contact_email text,
  ADD COLUMN billing_reference text;

-- Credits that staff added (R70); one is one US dollar.
CREATE TABLE credit_purchases (
  id uuid CONSTRAINT credit_purchases_pkey PRIMARY KEY,
  organization_id uuid NOT NULL CONSTRAINT credit_purchases_organization_id_fkey REFERENCES organizations (id),
  idempotency_key text NOT NULL,
  amount numeric NOT NULL,
  created_at timestamptz NOT NULL,
  CONSTRAINT credit_purchases_idempotency_key_key UNIQUE (organization_id, idempotency_key)
);

-- Keys that belong to the organization: they outlive the membership of whoever made them.
ALTER TABLE api_keys ADD COLUMN service boolean NOT NULL DEFAULT false;
CREATE INDEX api_keys_service_idx ON api_keys (organization_id, id) WHERE service AND revoked_at IS NULL;

-- Offers to move a project, its ownership and its bills to another organization (R61).
CREATE TABLE project_transfers (
  id uuid CONSTRAINT project_transfers_pkey PRIMARY KEY,
  -- From which.
  organization_id uuid NOT NULL CONSTRAINT project_transfers_organization_id_fkey REFERENCES organizations (id),
  resource_id uuid NOT NULL CONSTRAINT project_transfers_resource_id_fkey REFERENCES resources (id) ON DELETE CASCADE,
  to_organization_id uuid CONSTRAINT project_transfers_to_organization_id_fkey REFERENCES organizations (id) ON DELETE SET NULL,
  offered_by_id uuid NOT NULL CONSTRAINT project_transfers_offered_by_id_fkey REFERENCES users (id),
  recipient_id uuid NOT NULL CONSTRAINT project_transfers_recipient_id_fkey REFERENCES users (id),
  status text NOT NULL CONSTRAINT project_transfers_status_check
    CHECK (status IN ('offered', 'accepted', 'declined', 'cancelled', 'expired')),
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  -- When the worker had moved everything.
  moved_at timestamptz
);
CREATE UNIQUE INDEX project_transfers_offered_key ON project_transfers (resource_id) WHERE status = 'offered';
CREATE INDEX project_transfers_to_organization_idx ON project_transfers (to_organization_id);
CREATE INDEX project_transfers_resource_idx ON project_transfers (resource_id);
CREATE INDEX project_transfers_recipient_idx ON project_transfers (recipient_id, id);
CREATE INDEX project_transfers_organization_idx ON project_transfers (organization_id, offered_by_id) WHERE status = 'offered';
CREATE INDEX project_transfers_overdue_idx ON project_transfers (expires_at) WHERE status = 'offered';

-- ------------------------------------------------------------------ leaving

ALTER TABLE departure_steps DROP CONSTRAINT departure_steps_step_check,
  ADD CONSTRAINT departure_steps_step_check CHECK (step IN ('revoke_access', 'revoke_issued', 'transfer_projects',
    'transfer_volumes', 'transfer_others', 'collect_samples', 'share_documents', 'remove_grants', 'leave_teams', 'notify'));
ALTER TABLE departure_steps
  -- How far the step has come within which kind: the next chunk begins behind it and not among what it has moved already.
  ADD COLUMN reached_kind text,
  ADD COLUMN reached_id uuid;
ALTER TABLE departures
  -- The project that the leaver's samples are collected into (R36).
  ADD COLUMN samples_project_id uuid CONSTRAINT departures_samples_project_id_fkey REFERENCES resources (id) ON DELETE SET NULL;
CREATE INDEX departures_samples_project_idx ON departures (samples_project_id) WHERE samples_project_id IS NOT NULL;
-- What is to be collected of a leaver's samples (R36).
CREATE INDEX resources_loose_samples_idx ON resources (organization_id, owner_id, id) WHERE kind = 'sample' AND container_id IS NULL;
-- Who has uploaded samples to a project stays on it (R37).
CREATE INDEX resources_uploader_idx ON resources (created_by_id, container_id) WHERE kind = 'sample' AND container_id IS NOT NULL;
ALTER TABLE resource_moves
  -- The project that a sample was collected into (R36).
  ADD COLUMN container_id uuid,
  -- Who read a document before it became visible to the organization (R38).
  ADD COLUMN visibility text;
