-- The log as before, without places in a feed.
CREATE OR REPLACE FUNCTION audit_append(p_events jsonb) RETURNS uuid[] LANGUAGE plpgsql AS $$
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

DROP FUNCTION feed_catch_up();
DROP FUNCTION feed_horizon();
DROP TABLE feed_clock;
DROP INDEX audit_events_feed_organization_idx;
DROP INDEX audit_events_feed_action_idx;
DROP INDEX audit_events_feed_key;
ALTER TABLE audit_heads DROP COLUMN feed_position;
ALTER TABLE audit_events DROP COLUMN feed_position;
