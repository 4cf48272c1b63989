SELECT n.id, n.user_id, e.since, e.granted_by_id, e.named_as
FROM (
  SELECT collaborator_id(g.organization_id, g.user_id) AS id, g.user_id FROM grants g
  WHERE g.organization_id = :organization_id AND g.outside AND collaborator_id(g.organization_id, g.user_id) > s.after
  ORDER BY collaborator_id(g.organization_id, g.user_id) LIMIT 1
) n
LEFT JOIN LATERAL ({earliest}) e ON true
