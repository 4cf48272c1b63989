SELECT m.id FROM members m
WHERE m.user_id = :user_id AND m.status = 'active' AND m.organization_id IN (
  SELECT r.organization_id FROM resources r WHERE r.id = ANY (:resources)
  UNION ALL
  SELECT g.grantee_organization_id FROM resources r
  LEFT JOIN resources c ON c.id = r.container_id
  JOIN grants g ON g.resource_id IN (r.id, c.id, c.container_id) AND g.grantee_organization_id IS NOT NULL
  WHERE r.id = ANY (:resources))
ORDER BY m.id FOR SHARE OF m
