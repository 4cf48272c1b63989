-- Those who spent the most, by the months that the period touches.
SELECT t.key FROM usage_totals t
WHERE t.organization_id = :organization_id AND t.grouped_by = :grouped_by AND t.span = 'month' AND t.key <> ''
  AND t.starts_on >= date_trunc('month', :since::timestamp)::date AND t.starts_on < :until::timestamp
GROUP BY t.key ORDER BY sum(t.credits) DESC, t.key LIMIT :most
