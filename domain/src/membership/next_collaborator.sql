SELECT n.user_id, e.since, e.granted_by_id
FROM (
  SELECT g.user_id FROM grants g
  WHERE g.organization_id = :organization_id AND g.outside AND g.user_id > s.after
  ORDER BY g.user_id LIMIT 1
) n
LEFT JOIN LATERAL ({earliest}) e ON true
