DROP FUNCTION audit_append(jsonb);
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
DROP INDEX sessions_active_organization_idx;
DROP INDEX users_default_bill_to_idx;
DROP INDEX users_origin_organization_idx;
ALTER TABLE project_transfers DROP COLUMN resource_name, DROP COLUMN resource_owner_id, DROP COLUMN resource_size_bytes;
ALTER TABLE departures DROP COLUMN previous_ended_at_position, DROP COLUMN ended_at_position;
ALTER TABLE grants DROP COLUMN kept_position;
