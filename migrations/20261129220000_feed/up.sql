-- The feed: the events of all logs in one order (R90).
--
-- An event's place is the id of the transaction that recorded it, so that readers can be shown what is older than every transaction
-- still running: whatever commits later comes behind it. Transactions aren't recorded in the order of their ids, though: one that
-- waits for a log's head may be older than the one that it waits for. A transaction that finds an event as new as itself in one of
-- its logs therefore takes the place right behind that event. So the feed keeps the order of each log, and that of transactions that
-- wrote to a common one. A place is the id of a transaction, shifted by 16 bits, and the number of transactions that have the same.
ALTER TABLE audit_events ADD COLUMN feed_position bigint NOT NULL DEFAULT 0;
-- The place of the log's last event.
ALTER TABLE audit_heads ADD COLUMN feed_position bigint NOT NULL DEFAULT 0;

-- Events from before this migration come first, log after log.
CREATE UNIQUE INDEX audit_events_feed_key ON audit_events (feed_position, organization_id, sequence);
-- The feed of some actions, and of some organizations.
CREATE INDEX audit_events_feed_action_idx ON audit_events (action, feed_position, organization_id, sequence);
CREATE INDEX audit_events_feed_organization_idx ON audit_events (organization_id, feed_position, sequence);

CREATE TABLE feed_clock (
  -- There is one row.
  id boolean NOT NULL DEFAULT true,
  -- What is added to the ids of transactions: a server on which the database was restored may count from a smaller number.
  ahead bigint NOT NULL,
  CONSTRAINT feed_clock_pkey PRIMARY KEY (id),
  CONSTRAINT feed_clock_one_row_check CHECK (id)
);
INSERT INTO feed_clock (ahead) VALUES (0);

-- The place that no event may come before any more, in the snapshot of the statement that asks.
CREATE FUNCTION feed_horizon() RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint + ahead) << 16 FROM feed_clock
$$;

-- Makes new events come behind all that are there, if the server's transactions have smaller ids than those of the log. Returns
-- whether that was necessary.
CREATE FUNCTION feed_catch_up() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  p_last bigint;
BEGIN
  SELECT max(feed_position) >> 16 INTO p_last FROM audit_events;
  IF p_last IS NULL OR p_last < (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint + ahead FROM feed_clock) THEN
    RETURN false;
  END IF;
  -- Whoever records events waits until the commit, and counts anew.
  LOCK TABLE audit_heads IN EXCLUSIVE MODE;
  SELECT max(feed_position) >> 16 INTO p_last FROM audit_events;
  IF p_last < (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint + ahead FROM feed_clock) THEN
    RETURN false;
  END IF;
  UPDATE feed_clock SET ahead = p_last + 1 - pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
  RETURN true;
END
$$;

-- Appends events, each log's in their order, and returns the webhooks that wait for some of them. Each head is written once, however
-- many events there are: what a departure revokes may be many.
CREATE OR REPLACE FUNCTION audit_append(p_events jsonb) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
  head audit_heads%ROWTYPE;
  event record;
  p_organization_id uuid;
  p_now timestamptz;
  p_head_position bigint;
  p_before bigint := 0;
  p_position bigint;
  p_actions text[];
  p_webhooks uuid[] := '{}';
BEGIN
  -- Heads are locked in one order.
  FOR p_organization_id IN
    SELECT DISTINCT e.organization_id FROM jsonb_to_recordset(p_events) AS e (organization_id uuid) ORDER BY e.organization_id
  LOOP
    SELECT h.feed_position INTO p_head_position FROM audit_heads h WHERE h.organization_id = p_organization_id FOR UPDATE;
    IF NOT FOUND THEN
      INSERT INTO audit_heads VALUES (p_organization_id, 0, '', 0) ON CONFLICT DO NOTHING;
      SELECT h.feed_position INTO p_head_position FROM audit_heads h WHERE h.organization_id = p_organization_id FOR UPDATE;
    END IF;
    p_before := greatest(p_before, p_head_position);
  END LOOP;
  p_position := (pg_current_xact_id()::text::bigint + (SELECT ahead FROM feed_clock)) << 16;
  p_position := greatest(p_position, p_before + 1);
  FOR event IN
    SELECT e.*, lead(e.organization_id) OVER w IS DISTINCT FROM e.organization_id AS is_last
    FROM ROWS FROM (jsonb_to_recordset(p_events) AS (organization_id uuid, id uuid, action text, actor_kind text,
      actor_id uuid, target_id text, summary text, metadata jsonb)) WITH ORDINALITY AS e (organization_id, id, action, actor_kind,
      actor_id, target_id, summary, metadata, number)
    WINDOW w AS (ORDER BY e.organization_id, e.number) ORDER BY e.organization_id, e.number
  LOOP
    IF head.organization_id IS DISTINCT FROM event.organization_id THEN
      SELECT * INTO head FROM audit_heads WHERE organization_id = event.organization_id;
      p_actions := '{}';
    END IF;
    p_now := rollcall_now();
    head.sequence := head.sequence + 1;
    head.hash := audit_hash(head.hash, event.organization_id, head.sequence, event.id, event.action, event.actor_kind,
                            event.actor_id, event.target_id, event.summary, event.metadata, p_now);
    INSERT INTO audit_events (organization_id, sequence, id, action, actor_kind, actor_id, target_id, summary, metadata, occurred_at,
                              hash, feed_position)
    VALUES (event.organization_id, head.sequence, event.id, event.action, event.actor_kind, event.actor_id, event.target_id,
            event.summary, event.metadata, p_now, head.hash, p_position);
    p_actions := p_actions || event.action;
    IF event.is_last THEN
      UPDATE audit_heads SET sequence = head.sequence, hash = head.hash, feed_position = p_position
      WHERE organization_id = event.organization_id;
      -- Under the head's lock: a webhook that is being made has this event, or begins behind it.
      p_webhooks := p_webhooks || ARRAY(
        SELECT id FROM webhooks
        WHERE organization_id = event.organization_id AND enabled AND events && ('*'::text || p_actions) ORDER BY id
      );
    END IF;
  END LOOP;
  RETURN p_webhooks;
END
$$;
