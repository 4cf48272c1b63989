-- If the account already has a grant that counts, its level is raised, and never lowered.
INSERT INTO grants AS taken (id, organization_id, resource_id, user_id, level, granted_by_id, created_at, named_as)
SELECT n.id, n.organization_id, n.resource_id, :user_id,
  CASE WHEN access_rank(g.level) > access_rank(n.level) AND {own_counts} THEN g.level ELSE n.level END,
  n.granted_by_id, :at, :named_as
FROM unnest(:ids, :organizations, :resources, :levels, :inviters)
  AS n (id, organization_id, resource_id, level, granted_by_id)
JOIN organizations o ON o.id = n.organization_id
JOIN resources r ON r.id = n.resource_id
LEFT JOIN members m ON m.organization_id = n.organization_id AND m.user_id = :user_id
LEFT JOIN grants g ON g.user_id = :user_id AND g.resource_id = n.resource_id
WHERE r.owner_id <> :user_id OR m.status IS DISTINCT FROM 'active'
ORDER BY n.resource_id
ON CONFLICT (user_id, resource_id) WHERE user_id IS NOT NULL DO UPDATE SET
  level = excluded.level, position = excluded.position, granted_by_id = excluded.granted_by_id
RETURNING taken.*, taken.xmax = 0 AS is_new
