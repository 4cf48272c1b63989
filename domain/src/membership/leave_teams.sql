-- People who aren't members leave their teams once nothing is granted to themselves any more.
DELETE FROM team_members t
WHERE t.organization_id = :organization_id AND t.user_id = ANY (:users)
  AND NOT EXISTS (
    SELECT FROM members m WHERE m.organization_id = t.organization_id AND m.user_id = t.user_id AND m.status = 'active')
  AND NOT EXISTS (
    SELECT FROM grants g
    LEFT JOIN members m ON m.organization_id = g.organization_id AND m.user_id = g.user_id
    WHERE g.organization_id = t.organization_id AND g.user_id = t.user_id
      AND (m.id IS NULL OR g.position > m.ended_at_position))
RETURNING t.user_id, t.team_id
