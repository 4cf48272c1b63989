-- Webhooks: an organization's audit log, told to others in its order (R75).

CREATE TABLE webhooks (
  id uuid CONSTRAINT webhooks_pkey PRIMARY KEY,
  organization_id uuid NOT NULL CONSTRAINT webhooks_organization_id_fkey REFERENCES organizations (id),
  url text NOT NULL,
  -- Actions of the audit log; '*' is all of them.
  events text[] NOT NULL CONSTRAINT webhooks_events_some CHECK (cardinality(events) > 0),
  enabled boolean NOT NULL,
  -- The last sequence of the audit log that is dealt with.
  cursor bigint NOT NULL,
  -- Since when every attempt failed.
  failing_since timestamptz,
  -- The secret is derived from id and version.
  secret_version integer NOT NULL,
  secret_made_at timestamptz NOT NULL,
  -- Who was shown the secret.
  secret_made_by_id uuid NOT NULL CONSTRAINT webhooks_secret_made_by_id_fkey REFERENCES users (id),
  created_at timestamptz NOT NULL,
  CONSTRAINT webhooks_organization_key UNIQUE (organization_id, id)
);
CREATE INDEX webhooks_secret_made_by_idx ON webhooks (secret_made_by_id);

CREATE TABLE webhook_deliveries (
  id uuid CONSTRAINT webhook_deliveries_pkey PRIMARY KEY,
  organization_id uuid NOT NULL,
  webhook_id uuid NOT NULL,
  -- The event of the organization's audit log.
  sequence bigint NOT NULL,
  event text NOT NULL,
  status text NOT NULL CONSTRAINT webhook_deliveries_status_check CHECK (status IN ('queued', 'sent', 'deferred', 'failed')),
  attempts integer NOT NULL,
  response_status integer,
  -- Why the last attempt failed.
  error text,
  last_attempt_at timestamptz,
  created_at timestamptz NOT NULL,
  CONSTRAINT webhook_deliveries_sequence_key UNIQUE (webhook_id, sequence),
  CONSTRAINT webhook_deliveries_webhook_fkey FOREIGN KEY (organization_id, webhook_id)
    REFERENCES webhooks (organization_id, id) ON DELETE CASCADE
);
-- What the log keeps for a while only.
CREATE INDEX webhook_deliveries_created_at_idx ON webhook_deliveries (created_at);

-- Now also tells which webhooks want the event. It looks for them once it has the head's lock, in a snapshot of its own (the
-- function is volatile): whoever made or enabled a webhook before holds that lock until its commit, so none is overlooked.
DROP FUNCTION audit_append(uuid, uuid, text, text, uuid, text, text, jsonb);
CREATE FUNCTION audit_append(
  p_organization_id uuid, p_id uuid, p_action text, p_actor_kind text,
  p_actor_id uuid, p_target_id text, p_summary text, p_metadata jsonb
) RETURNS uuid[] LANGUAGE plpgsql AS $$
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
  RETURN ARRAY(
    SELECT id FROM webhooks
    WHERE organization_id = p_organization_id AND enabled AND events && ARRAY['*', p_action] ORDER BY id
  );
END
$$;
