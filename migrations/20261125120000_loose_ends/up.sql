-- What departures and transfers leave behind, to the letter.

-- ------------------------------------------------------------------ leaving

-- A leaver's grants sleep from the end of the membership on, and wake with their return only where the departure has decided to keep
-- them (R37): then this is the position of that end.
ALTER TABLE grants ADD COLUMN kept_position bigint;
UPDATE grants g SET kept_position = m.ended_at_position FROM members m
  WHERE m.organization_id = g.organization_id AND m.user_id = g.user_id AND g.position <= m.ended_at_position
  AND NOT EXISTS (SELECT FROM departures d WHERE d.member_id = m.id AND d.status IN ('running', 'failed'));
ALTER TABLE departures
  -- The end of the membership that it is: grants up to this position are its to remove or keep.
  ADD COLUMN ended_at_position bigint,
  -- The one before it: a departure that is taken back takes back this one, and none before.
  ADD COLUMN previous_ended_at_position bigint NOT NULL DEFAULT 0;
UPDATE departures d SET ended_at_position = m.ended_at_position FROM members m WHERE m.id = d.member_id;
ALTER TABLE departures
  ALTER COLUMN ended_at_position SET NOT NULL,
  ALTER COLUMN previous_ended_at_position DROP DEFAULT;
-- Who is being brought back keeps what was shared with them.
UPDATE departure_steps s SET completed_at = d.started_at, total = coalesce(s.total, s.done) FROM departures d
  WHERE d.id = s.departure_id AND d.status = 'reverting' AND s.step = 'remove_grants' AND s.completed_at IS NULL;

-- ------------------------------------------------------------------ transfers

-- The project as it was offered: all that those see of it who don't reach it.
ALTER TABLE project_transfers
  ADD COLUMN resource_name text,
  ADD COLUMN resource_owner_id uuid CONSTRAINT project_transfers_resource_owner_id_fkey REFERENCES users (id),
  ADD COLUMN resource_size_bytes bigint;
UPDATE project_transfers t SET resource_name = r.name, 
    resource_owner_id = CASE t.status WHEN 'offered' THEN r.owner_id ELSE t.offered_by_id END,
    resource_size_bytes = CASE t.status WHEN 'offered' THEN r.size_bytes ELSE 0 END
  FROM resources r WHERE r.id = t.resource_id;
ALTER TABLE project_transfers
  ALTER COLUMN resource_name SET NOT NULL,
  ALTER COLUMN resource_owner_id SET NOT NULL,
  ALTER COLUMN resource_size_bytes SET NOT NULL;

-- ------------------------------------------------------------------ removing for good

-- What refers to an organization that is removed is found without reading the tables of everybody.
CREATE INDEX users_origin_organization_idx ON users (origin_organization_id) WHERE origin_organization_id IS NOT NULL;
CREATE INDEX users_default_bill_to_idx ON users (default_bill_to_id) WHERE default_bill_to_id IS NOT NULL;
CREATE INDEX sessions_active_organization_idx ON sessions (active_organization_id) WHERE active_organization_id IS NOT NULL;

-- ------------------------------------------------------------------ the log

-- Appends events, each log's in their order, and returns the webhooks that wait for some of them. Each head is written once, however
-- many events there are: what a departure revokes may be many.
DROP FUNCTION audit_append(uuid, uuid, text, text, uuid, text, text, jsonb);
CREATE FUNCTION audit_append(p_events jsonb) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
  head audit_heads%ROWTYPE;
  event record;
  p_now timestamptz;
  p_actions text[];
  p_webhooks uuid[] := '{}';
BEGIN
  -- Heads are locked in one order.
  FOR event IN
    SELECT e.*, lead(e.organization_id) OVER w IS DISTINCT FROM e.organization_id AS is_last
    FROM ROWS FROM (jsonb_to_recordset(p_events) AS (organization_id uuid, id uuid, action text, actor_kind text,
      actor_id uuid, target_id text, summary text, metadata jsonb)) WITH ORDINALITY AS e (organization_id, id, action, actor_kind,
      actor_id, target_id, summary, metadata, number)
    WINDOW w AS (ORDER BY e.organization_id, e.number) ORDER BY e.organization_id, e.number
  LOOP
    IF head.organization_id IS DISTINCT FROM event.organization_id THEN
      SELECT * INTO head FROM audit_heads WHERE organization_id = event.organization_id FOR UPDATE;
      IF NOT FOUND THEN
        INSERT INTO audit_heads VALUES (event.organization_id, 0, '') ON CONFLICT DO NOTHING;
        SELECT * INTO head FROM audit_heads WHERE organization_id = event.organization_id FOR UPDATE;
      END IF;
      p_actions := '{}';
    END IF;
    p_now := rollcall_now();
    head.sequence := head.sequence + 1;
    head.hash := audit_hash(head.hash, event.organization_id, head.sequence, event.id, event.action, event.actor_kind,
                            event.actor_id, event.target_id, event.summary, event.metadata, p_now);
    INSERT INTO audit_events (organization_id, sequence, id, action, actor_kind, actor_id, target_id, summary, metadata, occurred_at, hash)
    VALUES (event.organization_id, head.sequence, event.id, event.action, event.actor_kind, event.actor_id, event.target_id,
            event.summary, event.metadata, p_now, head.hash);
    p_actions := p_actions || event.action;
    IF event.is_last THEN
      UPDATE audit_heads SET sequence = head.sequence, hash = head.hash WHERE organization_id = event.organization_id;
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
