-- Runs: what members queue for the platform to carry out.

CREATE TABLE runs (
  id uuid CONSTRAINT runs_pkey PRIMARY KEY,
  organization_id uuid NOT NULL CONSTRAINT runs_organization_id_fkey REFERENCES organizations (id),
  kind text NOT NULL CONSTRAINT runs_kind_check CHECK (kind IN ('pipeline', 'studio', 'job')),
  name text NOT NULL,
  status text NOT NULL CONSTRAINT runs_status_check CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
  -- Of the organization when it was queued, and perhaps of another by now.
  resource_id uuid CONSTRAINT runs_resource_id_fkey REFERENCES resources (id) ON DELETE SET NULL,
  queued_by_id uuid NOT NULL CONSTRAINT runs_queued_by_id_fkey REFERENCES users (id),
  queued_at timestamptz NOT NULL,
  started_at timestamptz,
  finished_at timestamptz,
  cpu_hours numeric NOT NULL DEFAULT 0,
  memory_gib_hours numeric NOT NULL DEFAULT 0,
  credits numeric NOT NULL DEFAULT 0
);
CREATE INDEX runs_organization_idx ON runs (organization_id, id);
CREATE INDEX runs_status_idx ON runs (organization_id, status, id);
CREATE INDEX runs_own_idx ON runs (organization_id, queued_by_id, id);
-- Also for what a leaver has queued.
CREATE INDEX runs_own_status_idx ON runs (organization_id, queued_by_id, status, id);
CREATE INDEX runs_resource_idx ON runs (resource_id) WHERE resource_id IS NOT NULL;

ALTER TABLE departure_steps DROP CONSTRAINT departure_steps_step_check,
  ADD CONSTRAINT departure_steps_step_check CHECK (step IN ('revoke_access', 'revoke_issued', 'transfer_projects',
    'transfer_volumes', 'transfer_others', 'collect_samples', 'share_documents', 'remove_grants', 'leave_teams', 'cancel_runs',
    'notify'));
