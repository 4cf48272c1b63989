SELECT k.organization_id, k.user_id, t.team_id
FROM unnest(:organizations, :users) AS k (organization_id, user_id)
CROSS JOIN LATERAL (
  SELECT team_id FROM team_members
  WHERE organization_id = k.organization_id AND user_id = k.user_id AND (:after IS NULL OR team_id > :after)
  ORDER BY team_id LIMIT :most
) AS t
