-- What was used within a period, from the longest spans that lie in it: whole months, the days around them, and single
-- entries for what is left of a day at either end. There are at most three spans and two ends; what there isn't of them is null,
-- and finds nothing. Each has a branch of its own, since the planner takes a range with known ends for a short one.
SELECT p.starts, p.key, sum(p.quantity) AS quantity, sum(p.credits) AS credits
FROM (
  SELECT date_trunc(:interval, t.starts_on::timestamp) AS starts, t.key, t.quantity, t.credits FROM usage_totals t
  WHERE t.organization_id = :organization_id AND t.grouped_by = :grouped_by AND t.span = (:spans)[1]
    AND t.starts_on >= (:span_starts)[1] AND t.starts_on < (:span_ends)[1]
    AND (:keys IS NULL OR t.key = ANY (:keys))
  UNION ALL
  SELECT date_trunc(:interval, t.starts_on::timestamp) AS starts, t.key, t.quantity, t.credits FROM usage_totals t
  WHERE t.organization_id = :organization_id AND t.grouped_by = :grouped_by AND t.span = (:spans)[2]
    AND t.starts_on >= (:span_starts)[2] AND t.starts_on < (:span_ends)[2]
    AND (:keys IS NULL OR t.key = ANY (:keys))
  UNION ALL
  SELECT date_trunc(:interval, t.starts_on::timestamp) AS starts, t.key, t.quantity, t.credits FROM usage_totals t
  WHERE t.organization_id = :organization_id AND t.grouped_by = :grouped_by AND t.span = (:spans)[3]
    AND t.starts_on >= (:span_starts)[3] AND t.starts_on < (:span_ends)[3]
    AND (:keys IS NULL OR t.key = ANY (:keys))
  UNION ALL
  SELECT date_trunc(:interval, e.occurred_at AT TIME ZONE 'UTC') AS starts, k.key, e.quantity, e.credits
  FROM usage_entries e CROSS JOIN LATERAL (
    SELECT CASE :grouped_by WHEN 'kind' THEN e.kind WHEN 'member' THEN coalesce(e.user_id::text, '') ELSE coalesce(e.workspace_id::text, '') END
  ) AS k (key)
  WHERE e.organization_id = :organization_id AND e.occurred_at >= (:entry_starts)[1] AND e.occurred_at < (:entry_ends)[1]
    AND (:keys IS NULL OR k.key = ANY (:keys))
  UNION ALL
  SELECT date_trunc(:interval, e.occurred_at AT TIME ZONE 'UTC') AS starts, k.key, e.quantity, e.credits
  FROM usage_entries e CROSS JOIN LATERAL (
    SELECT CASE :grouped_by WHEN 'kind' THEN e.kind WHEN 'member' THEN coalesce(e.user_id::text, '') ELSE coalesce(e.workspace_id::text, '') END
  ) AS k (key)
  WHERE e.organization_id = :organization_id AND e.occurred_at >= (:entry_starts)[2] AND e.occurred_at < (:entry_ends)[2]
    AND (:keys IS NULL OR k.key = ANY (:keys))
) p
GROUP BY p.starts, p.key
ORDER BY p.starts, p.key
