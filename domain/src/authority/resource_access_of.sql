SELECT q.user_id, q.resource_id, r.organization_id, access.rank, access.moving
FROM unnest(:users, :resources) AS q (user_id, resource_id)
JOIN resources r ON r.id = q.resource_id
CROSS JOIN {access}
