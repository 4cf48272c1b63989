-- Members and collaborators are found by an index each, and merged.
SELECT k.team_id, t.user_id, t.member_id
FROM unnest(:teams) AS k (team_id)
CROSS JOIN LATERAL (
  SELECT f.* FROM (
    (SELECT m.user_id, m.id AS member_id FROM team_members tm {seen} AND (:after IS NULL OR tm.user_id > :after)
      ORDER BY tm.user_id LIMIT :most)
    UNION ALL
    (SELECT tm.user_id, NULL::uuid FROM team_members tm {seen_outside} AND (:after IS NULL OR tm.user_id > :after)
      ORDER BY tm.user_id LIMIT :most)
  ) f
  ORDER BY f.user_id LIMIT :most
) AS t
ORDER BY k.team_id, t.user_id
