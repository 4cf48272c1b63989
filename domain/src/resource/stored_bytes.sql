-- A GB (10^9 bytes) that is there for all days of a month is one GB-month.
SELECT * FROM (
  SELECT r.organization_id, r.owner_id, w.id AS workspace_id,
    round(sum(r.size_bytes) / 1000000000.0 / extract(day FROM date_trunc('month', :day::timestamp) + interval '1 month - 1 day')::numeric, 9) AS gb_months
  FROM resources r
  LEFT JOIN resources c ON c.id = r.container_id
  LEFT JOIN resources d ON d.id = c.container_id
  CROSS JOIN LATERAL (SELECT CASE 'workspace' WHEN r.kind THEN r.id WHEN c.kind THEN c.id WHEN d.kind THEN d.id END) AS w (id)
  WHERE r.organization_id = ANY (:organizations) AND r.size_bytes > 0
  GROUP BY r.organization_id, r.owner_id, w.id
) s
WHERE gb_months > 0
