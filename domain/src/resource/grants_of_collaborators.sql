-- The grants by which collaborators reach something, oldest first: those to themselves that count, and those to their
-- teams.
SELECT k.user_id AS holder_id, p.*
FROM unnest(:organizations, :users) AS k (organization_id, user_id)
JOIN organizations o ON o.id = k.organization_id
LEFT JOIN members m ON m.organization_id = k.organization_id AND m.user_id = k.user_id
CROSS JOIN LATERAL (
  SELECT f.* FROM (
    (SELECT g.* FROM grants g
      WHERE g.organization_id = k.organization_id AND g.user_id = k.user_id AND g.outside AND {own_counts}
        AND (:after IS NULL OR g.id > :after)
      ORDER BY g.id LIMIT :most)
    UNION ALL
    SELECT h.* FROM team_members t
    CROSS JOIN LATERAL (
      SELECT g.* FROM grants g WHERE g.team_id = t.team_id AND (:after IS NULL OR g.id > :after) ORDER BY g.id LIMIT :most
    ) h
    WHERE t.organization_id = k.organization_id AND t.user_id = k.user_id
  ) f
  ORDER BY f.id LIMIT :most
) p
WHERE m.status IS DISTINCT FROM 'active'
ORDER BY p.id
