SELECT place.after, e.id, e.organization_id, e.sequence, e.action, e.actor_kind, e.actor_id, e.target_id, e.summary,
  e.metadata, e.occurred_at, e.hash
FROM unnest(:organization_ids, :afters) AS place (organization_id, after)
CROSS JOIN LATERAL (
  SELECT * FROM audit_events a
  WHERE a.organization_id = place.organization_id AND a.sequence > place.after
  ORDER BY a.sequence LIMIT :page
) e
LIMIT :most
