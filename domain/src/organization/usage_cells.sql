-- How many points a series would have, up to one more than it may.
SELECT count(*) AS cells FROM (
  SELECT FROM unnest(:spans, :span_starts, :span_ends) AS s (span, starts, ends)
  JOIN usage_totals t ON t.organization_id = :organization_id AND t.grouped_by = :grouped_by AND t.span = s.span
    AND t.starts_on >= s.starts AND t.starts_on < s.ends
  LIMIT :most
) c
