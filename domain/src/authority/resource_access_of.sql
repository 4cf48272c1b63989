SELECT q.user_id, q.resource_id, q.within, access.rank, access.moving
FROM unnest(:users, :resources, :within) AS q (user_id, resource_id, within)
JOIN resources r ON r.id = q.resource_id AND (q.within IS NULL OR r.organization_id = q.within)
CROSS JOIN {access}
