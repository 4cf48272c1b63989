-- What was used within a period, from the longest spans that lie in it: whole months, the days around them, and single
-- entries for what is left of a day at either end.
SELECT p.starts, p.key, sum(p.quantity) AS quantity, sum(p.credits) AS credits
FROM (
  SELECT date_trunc(:interval, t.starts_on::timestamp) AS starts, t.key, t.quantity, t.credits
  FROM unnest(:spans, :span_starts, :span_ends) AS s (span, starts, ends)
  JOIN usage_totals t ON t.organization_id = :organization_id AND t.grouped_by = :grouped_by AND t.span = s.span
    AND t.starts_on >= s.starts AND t.starts_on < s.ends
  WHERE :keys IS NULL OR t.key = ANY (:keys)
  UNION ALL
  SELECT date_trunc(:interval, e.occurred_at AT TIME ZONE 'UTC'), k.key, e.quantity, e.credits
  FROM unnest(:entry_starts, :entry_ends) AS s (starts, ends)
  JOIN usage_entries e ON e.organization_id = :organization_id AND e.occurred_at >= s.starts AND e.occurred_at < s.ends
  CROSS JOIN LATERAL (
    SELECT CASE :grouped_by WHEN 'kind' THEN e.kind WHEN 'member' THEN coalesce(e.user_id::text, '') ELSE coalesce(e.workspace_id::text, '') END
  ) AS k (key)
  WHERE :keys IS NULL OR k.key = ANY (:keys)
) p
GROUP BY p.starts, p.key
ORDER BY p.starts, p.key
