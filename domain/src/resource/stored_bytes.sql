-- A GB (10^9 bytes) that is there for all days of a month is one GB-month. Each day has what its end adds to the
-- rounded amount of the month so far, so that the days of a month add up to the digit.
SELECT * FROM (
  SELECT s.organization_id, s.owner_id, s.workspace_id,
    round(s.gb * m.day / m.days, 9) - round(s.gb * (m.day - 1) / m.days, 9) AS gb_months
  FROM (
    SELECT r.organization_id, r.owner_id, w.id AS workspace_id, sum(r.size_bytes) * 0.000000001 AS gb
    FROM resources r
    LEFT JOIN resources c ON c.id = r.container_id
    LEFT JOIN resources d ON d.id = c.container_id
    CROSS JOIN LATERAL (SELECT CASE 'workspace' WHEN r.kind THEN r.id WHEN c.kind THEN c.id WHEN d.kind THEN d.id END) AS w (id)
    WHERE r.organization_id = ANY (:organizations) AND r.size_bytes > 0
    GROUP BY r.organization_id, r.owner_id, w.id
  ) s
  CROSS JOIN (
    SELECT extract(day FROM :day)::numeric AS day,
      extract(day FROM date_trunc('month', :day::timestamp) + interval '1 month - 1 day')::numeric AS days
  ) m
) t
WHERE gb_months > 0
