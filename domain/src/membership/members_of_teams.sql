SELECT k.team_id, t.member_id
FROM unnest(:teams) AS k (team_id)
CROSS JOIN LATERAL (
  SELECT m.id AS member_id, m.user_id FROM team_members tm {seen} AND (:after IS NULL OR tm.user_id > :after)
  ORDER BY tm.user_id LIMIT :most
) AS t
ORDER BY k.team_id, t.user_id
