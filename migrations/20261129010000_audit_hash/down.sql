CREATE OR REPLACE FUNCTION audit_hash(
  previous bytea, organization_id uuid, sequence bigint, id uuid, action text, actor_kind text,
  actor_id uuid, target_id text, summary text, metadata jsonb, occurred_at timestamptz
) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT sha256(previous || convert_to(jsonb_build_object(
    'organization_id', organization_id, 'sequence', sequence, 'id', id, 'action', action,
    'actor_kind', actor_kind, 'actor_id', actor_id, 'target_id', target_id, 'summary', summary,
    'metadata', metadata, 'occurred_at', (extract(epoch FROM occurred_at) * 1000000)::bigint
  )::text, 'UTF8'))
$$;
