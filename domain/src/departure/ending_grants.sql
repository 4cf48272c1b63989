g.organization_id = :organization_id AND g.user_id = :leaver_id AND NOT EXISTS (
  SELECT FROM resources p
  JOIN resources s ON s.container_id = p.id AND s.kind = 'sample' AND s.created_by_id = :leaver_id
  WHERE p.id = g.resource_id AND p.kind = 'project')
