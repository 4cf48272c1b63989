-- Which people have a grant of their own that makes them collaborators, or would if sharing outside were allowed. One
-- such grant of each is locked, so that it can't end before the transaction does.
SELECT u.id AS user_id, o.external_sharing = 'allowed' AS is_allowed
FROM organizations o
CROSS JOIN unnest(:users) AS k (user_id)
JOIN users u ON u.id = k.user_id AND u.suspended_at IS NULL AND u.deleted_at IS NULL
LEFT JOIN members m ON m.organization_id = o.id AND m.user_id = u.id
CROSS JOIN LATERAL (
  SELECT g.id FROM grants g
  WHERE g.organization_id = o.id AND g.user_id = u.id AND g.outside AND (m.id IS NULL OR g.position > m.ended_at_position)
  ORDER BY g.id LIMIT 1 FOR SHARE OF g
) held
WHERE o.id = :organization_id AND m.status IS DISTINCT FROM 'active'
