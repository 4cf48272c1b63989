DELETE FROM resources r
WHERE r.id = :project_id
  AND NOT EXISTS (SELECT FROM resources i WHERE i.container_id = :project_id)
  AND NOT EXISTS (SELECT FROM grants g WHERE g.resource_id = :project_id)
  AND NOT EXISTS (SELECT FROM grant_invitations g WHERE g.resource_id = :project_id)
  AND NOT EXISTS (SELECT FROM project_transfers t WHERE t.resource_id = :project_id)
  AND NOT EXISTS (SELECT FROM runs u WHERE u.resource_id = :project_id)
