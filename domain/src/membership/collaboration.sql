-- The earliest grant that makes a person a collaborator; no row if they are none, because they reach nothing here or
-- are a member. {{organization}} and {{user}} are ids.
SELECT g.created_at AS since, g.granted_by_id, g.named_as
FROM organizations o
JOIN users u ON u.id = {user} AND u.suspended_at IS NULL AND u.deleted_at IS NULL
LEFT JOIN members m ON m.organization_id = o.id AND m.user_id = u.id
JOIN grants g ON g.organization_id = o.id AND g.user_id = u.id AND g.outside
WHERE o.id = {organization} AND o.deleted_at IS NULL AND m.status IS DISTINCT FROM 'active' AND {own_counts}
ORDER BY g.id LIMIT 1
