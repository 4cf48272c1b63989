-- For each place, the next events of the feed that its reader wants, among the next :look_at, and the last one of these,
-- which says how far the reader got.
WITH looked_at AS (
  SELECT p.number, a.feed_position, a.organization_id, a.sequence,
    (p.actions IS NULL OR a.action = ANY (p.actions))
      AND (p.organization_ids IS NULL OR a.organization_id = ANY (p.organization_ids)) AS is_wanted
  FROM jsonb_to_recordset(:places) AS p (number bigint, feed_position bigint, organization_id uuid, sequence bigint,
    actions text[], organization_ids uuid[])
  CROSS JOIN LATERAL (
    SELECT e.feed_position, e.organization_id, e.sequence, e.action FROM audit_events e
    WHERE (e.feed_position, e.organization_id, e.sequence) > (p.feed_position, p.organization_id, p.sequence)
      AND e.feed_position < (SELECT feed_horizon())
    ORDER BY e.feed_position, e.organization_id, e.sequence LIMIT :look_at
  ) a
), ranked AS (
  SELECT *,
    row_number() OVER (PARTITION BY number, is_wanted ORDER BY feed_position, organization_id, sequence) AS rank,
    lead(sequence) OVER (PARTITION BY number ORDER BY feed_position, organization_id, sequence) IS NULL AS is_last
  FROM looked_at
)
SELECT r.number, r.feed_position, r.is_wanted AND r.rank <= :page AS is_shown, e.id, e.organization_id, e.sequence, e.action,
  e.actor_kind, e.actor_id, e.target_id, e.summary, e.metadata, e.occurred_at, e.hash
FROM ranked r
JOIN audit_events e ON e.organization_id = r.organization_id AND e.sequence = r.sequence
WHERE r.is_wanted AND r.rank <= :page OR r.is_last
ORDER BY r.number, r.feed_position, r.organization_id, r.sequence
