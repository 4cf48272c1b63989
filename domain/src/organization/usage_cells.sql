-- How many points a series would have, up to one more than it may. The branches are as in usage_parts.sql.
SELECT count(*) AS cells FROM (
  SELECT FROM (
  SELECT t.key FROM usage_totals t
  WHERE t.organization_id = :organization_id AND t.grouped_by = :grouped_by AND t.span = (:spans)[1]
    AND t.starts_on >= (:span_starts)[1] AND t.starts_on < (:span_ends)[1]
  UNION ALL
  SELECT t.key FROM usage_totals t
  WHERE t.organization_id = :organization_id AND t.grouped_by = :grouped_by AND t.span = (:spans)[2]
    AND t.starts_on >= (:span_starts)[2] AND t.starts_on < (:span_ends)[2]
  UNION ALL
  SELECT t.key FROM usage_totals t
  WHERE t.organization_id = :organization_id AND t.grouped_by = :grouped_by AND t.span = (:spans)[3]
    AND t.starts_on >= (:span_starts)[3] AND t.starts_on < (:span_ends)[3]
  ) p LIMIT :most
) c
