-- Runs as the platform reports them, what was used and what it cost, limits of each kind, and requests for more
-- (R69-R71, R79, R82).

-- ------------------------------------------------------------------ limits

ALTER TABLE organizations
  -- Null: no limit.
  ADD COLUMN workspace_limit integer CONSTRAINT organizations_workspace_limit_check CHECK (workspace_limit >= 0);
-- How many runs of a kind may be in progress at a time, in addition to organizations.run_limit, which counts all kinds together.
CREATE TABLE run_limits (
  organization_id uuid NOT NULL CONSTRAINT run_limits_organization_id_fkey REFERENCES organizations (id),
  kind text NOT NULL CONSTRAINT run_limits_kind_check CHECK (kind IN ('pipeline', 'studio', 'job')),
  run_limit integer NOT NULL CONSTRAINT run_limits_run_limit_check CHECK (run_limit >= 0),
  CONSTRAINT run_limits_pkey PRIMARY KEY (organization_id, kind)
);

-- ------------------------------------------------------------------ runs

CREATE INDEX runs_kind_idx ON runs (organization_id, kind, id);
CREATE INDEX runs_kind_status_idx ON runs (organization_id, kind, status, id);
CREATE INDEX runs_queued_at_idx ON runs (organization_id, queued_at);

-- How many runs of each kind there are and have been, since nobody can count a million for each overview (R69).
CREATE TABLE run_counts (
  organization_id uuid NOT NULL CONSTRAINT run_counts_organization_id_fkey REFERENCES organizations (id),
  kind text NOT NULL CONSTRAINT run_counts_kind_check CHECK (kind IN ('pipeline', 'studio', 'job')),
  total bigint NOT NULL CONSTRAINT run_counts_total_check CHECK (total >= 0),
  queued bigint NOT NULL CONSTRAINT run_counts_queued_check CHECK (queued >= 0),
  running bigint NOT NULL CONSTRAINT run_counts_running_check CHECK (running >= 0),
  CONSTRAINT run_counts_pkey PRIMARY KEY (organization_id, kind)
);
-- How many were queued on each day (UTC).
CREATE TABLE run_days (
  organization_id uuid NOT NULL CONSTRAINT run_days_organization_id_fkey REFERENCES organizations (id),
  day date NOT NULL,
  total bigint NOT NULL CONSTRAINT run_days_total_check CHECK (total > 0),
  CONSTRAINT run_days_pkey PRIMARY KEY (organization_id, day)
);

-- Rows of the counts are locked in one order, and always after the runs.
CREATE FUNCTION count_new_runs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO run_counts AS c (organization_id, kind, total, queued, running)
    SELECT organization_id, kind, count(*), count(*) FILTER (WHERE status = 'queued'), count(*) FILTER (WHERE status = 'running')
    FROM added GROUP BY organization_id, kind ORDER BY organization_id, kind
  ON CONFLICT ON CONSTRAINT run_counts_pkey DO UPDATE
    SET total = c.total + excluded.total, queued = c.queued + excluded.queued, running = c.running + excluded.running;
  INSERT INTO run_days AS d (organization_id, day, total)
    SELECT organization_id, (queued_at AT TIME ZONE 'UTC')::date AS day, count(*) FROM added GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT ON CONSTRAINT run_days_pkey DO UPDATE SET total = d.total + excluded.total;
  RETURN NULL;
END
$$;
CREATE FUNCTION count_changed_runs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM run_counts c
    WHERE (c.organization_id, c.kind) IN (SELECT organization_id, kind FROM after)
    ORDER BY c.organization_id, c.kind FOR NO KEY UPDATE;
  UPDATE run_counts c SET queued = c.queued + changed.queued, running = c.running + changed.running
    FROM (
      SELECT organization_id, kind, sum(queued) AS queued, sum(running) AS running
      FROM (
        SELECT organization_id, kind, (status = 'queued')::integer AS queued, (status = 'running')::integer AS running FROM after
        UNION ALL
        SELECT organization_id, kind, -(status = 'queued')::integer, -(status = 'running')::integer FROM before
      ) one GROUP BY organization_id, kind
      HAVING sum(queued) <> 0 OR sum(running) <> 0
    ) changed
    WHERE c.organization_id = changed.organization_id AND c.kind = changed.kind;
  RETURN NULL;
END
$$;
CREATE TRIGGER runs_count_new AFTER INSERT ON runs
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_new_runs();
CREATE TRIGGER runs_count_changed AFTER UPDATE ON runs
  REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION count_changed_runs();

INSERT INTO run_counts (organization_id, kind, total, queued, running)
  SELECT organization_id, kind, count(*), count(*) FILTER (WHERE status = 'queued'), count(*) FILTER (WHERE status = 'running')
  FROM runs GROUP BY organization_id, kind;
INSERT INTO run_days (organization_id, day, total)
  SELECT organization_id, (queued_at AT TIME ZONE 'UTC')::date, count(*) FROM runs GROUP BY 1, 2;

-- The workspace in which a resource lies, or which it is; there are at most two containers above it.
CREATE FUNCTION workspace_of(resource uuid) RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT CASE 'workspace' WHEN r.kind THEN r.id WHEN c.kind THEN c.id WHEN d.kind THEN d.id END
  FROM resources r LEFT JOIN resources c ON c.id = r.container_id LEFT JOIN resources d ON d.id = c.container_id
  WHERE r.id = resource
$$;

-- ------------------------------------------------------------------ usage and credits

-- The ledger: what was used, and the credits that it cost at the rates of its time (R70). It only grows.
CREATE TABLE usage_entries (
  id uuid CONSTRAINT usage_entries_pkey PRIMARY KEY,
  organization_id uuid NOT NULL CONSTRAINT usage_entries_organization_id_fkey REFERENCES organizations (id),
  kind text NOT NULL
    CONSTRAINT usage_entries_kind_check CHECK (kind IN ('cpu_hours', 'memory_gib_hours', 'storage_gb_months', 'network_gb')),
  quantity numeric NOT NULL CONSTRAINT usage_entries_quantity_check CHECK (quantity > 0),
  credits numeric NOT NULL CONSTRAINT usage_entries_credits_check CHECK (credits >= 0),
  region text,
  user_id uuid CONSTRAINT usage_entries_user_id_fkey REFERENCES users (id),
  -- The workspace of that time, which may be gone by now.
  workspace_id uuid,
  run_id uuid CONSTRAINT usage_entries_run_id_fkey REFERENCES runs (id),
  -- Within what the key is unique: the organization that the report named, or the user whose default it was (R82).
  key_scope uuid,
  idempotency_key text,
  occurred_at timestamptz NOT NULL,
  recorded_at timestamptz NOT NULL,
  CONSTRAINT usage_entries_idempotency_key_key UNIQUE (key_scope, idempotency_key),
  CONSTRAINT usage_entries_idempotency_key_scope CHECK ((key_scope IS NULL) = (idempotency_key IS NULL))
);
CREATE INDEX usage_entries_occurred_at_idx ON usage_entries (organization_id, occurred_at);
CREATE INDEX usage_entries_run_idx ON usage_entries (run_id) WHERE run_id IS NOT NULL;

-- What an organization has bought and spent: one row, so that the balance is of one moment.
CREATE TABLE organization_credits (
  organization_id uuid CONSTRAINT organization_credits_pkey PRIMARY KEY
    CONSTRAINT organization_credits_organization_id_fkey REFERENCES organizations (id),
  -- How many purchases there were. Whoever has never bought anything isn't limited by credits.
  purchases integer NOT NULL DEFAULT 0,
  purchased numeric NOT NULL DEFAULT 0,
  spent numeric NOT NULL DEFAULT 0 CONSTRAINT organization_credits_spent_check CHECK (spent >= 0),
  -- The share of what was bought, in percent, of which the owner and admins have been told that it is spent.
  told_percent integer NOT NULL DEFAULT 0 CONSTRAINT organization_credits_told_percent_check CHECK (told_percent IN (0, 80, 100))
);

-- The ledger by day and month (UTC), for each kind of usage, for each member and for each workspace.
CREATE TABLE usage_totals (
  organization_id uuid NOT NULL CONSTRAINT usage_totals_organization_id_fkey REFERENCES organizations (id),
  span text NOT NULL CONSTRAINT usage_totals_span_check CHECK (span IN ('day', 'month')),
  grouped_by text NOT NULL CONSTRAINT usage_totals_grouped_by_check CHECK (grouped_by IN ('kind', 'member', 'workspace')),
  starts_on date NOT NULL,
  -- The kind, or the id of the member or workspace; empty for what names none.
  key text NOT NULL,
  -- Of a kind only: hours and bytes can't be added.
  quantity numeric,
  credits numeric NOT NULL,
  CONSTRAINT usage_totals_pkey PRIMARY KEY (organization_id, grouped_by, span, starts_on, key)
);

CREATE FUNCTION add_up_usage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- The organizations' rows come first, in one order, so that nobody else adds to the totals meanwhile.
  INSERT INTO organization_credits AS c (organization_id, spent)
    SELECT organization_id, sum(credits) FROM added GROUP BY organization_id ORDER BY organization_id
  ON CONFLICT ON CONSTRAINT organization_credits_pkey DO UPDATE SET spent = c.spent + excluded.spent;
  INSERT INTO usage_totals AS t (organization_id, grouped_by, span, starts_on, key, quantity, credits)
    SELECT a.organization_id, g.grouped_by, s.span, date_trunc(s.span, a.occurred_at AT TIME ZONE 'UTC')::date, g.key,
      CASE WHEN g.grouped_by = 'kind' THEN sum(a.quantity) END, sum(a.credits)
    FROM added a CROSS JOIN (VALUES ('day'), ('month')) AS s (span)
      CROSS JOIN LATERAL (VALUES ('kind', a.kind), ('member', coalesce(a.user_id::text, '')), ('workspace', coalesce(a.workspace_id::text, '')))
        AS g (grouped_by, key)
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
  ON CONFLICT ON CONSTRAINT usage_totals_pkey DO UPDATE SET quantity = t.quantity + excluded.quantity, credits = t.credits + excluded.credits;
  RETURN NULL;
END
$$;
CREATE TRIGGER usage_entries_add_up AFTER INSERT ON usage_entries
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION add_up_usage();

CREATE FUNCTION keep_usage_entries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Only the removal of an organization for good takes its ledger along.
  IF TG_OP = 'DELETE' AND EXISTS (SELECT FROM organizations o WHERE o.id = OLD.organization_id AND o.deleted_at IS NOT NULL) THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'the ledger only grows' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER usage_entries_only_grow BEFORE UPDATE OR DELETE ON usage_entries
  FOR EACH ROW EXECUTE FUNCTION keep_usage_entries();

CREATE FUNCTION add_up_purchases() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO organization_credits AS c (organization_id, purchases, purchased)
    SELECT organization_id, count(*), sum(amount) FROM added GROUP BY organization_id ORDER BY organization_id
  ON CONFLICT ON CONSTRAINT organization_credits_pkey DO UPDATE SET
    purchases = c.purchases + excluded.purchases,
    purchased = c.purchased + excluded.purchased,
    -- Whoever has bought more is told again when that is nearly spent.
    told_percent = least(c.told_percent, CASE
      WHEN c.spent >= c.purchased + excluded.purchased THEN 100
      WHEN c.spent >= 0.8 * (c.purchased + excluded.purchased) THEN 80
      ELSE 0 END);
  RETURN NULL;
END
$$;
CREATE TRIGGER credit_purchases_add_up AFTER INSERT ON credit_purchases
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION add_up_purchases();
INSERT INTO organization_credits (organization_id, purchases, purchased)
  SELECT organization_id, count(*), sum(amount) FROM credit_purchases GROUP BY organization_id;

-- The days whose storage has been metered, and how far the metering of a day has come.
CREATE TABLE metered_days (
  day date CONSTRAINT metered_days_pkey PRIMARY KEY,
  -- The last organization that was metered, in the order of ids.
  reached_id uuid,
  completed_at timestamptz
);

-- What organizations have written when they asked for more (R79).
CREATE TABLE upgrade_requests (
  id uuid CONSTRAINT upgrade_requests_pkey PRIMARY KEY,
  organization_id uuid NOT NULL CONSTRAINT upgrade_requests_organization_id_fkey REFERENCES organizations (id),
  user_id uuid NOT NULL CONSTRAINT upgrade_requests_user_id_fkey REFERENCES users (id),
  message text,
  created_at timestamptz NOT NULL
);
CREATE INDEX upgrade_requests_organization_idx ON upgrade_requests (organization_id, created_at);
