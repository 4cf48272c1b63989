-- Members and collaborators are found by an index each: first the members by their accounts' ids, then the
-- collaborators by their own ids, so that a cursor reveals no collaborator's account.
SELECT k.team_id, t.user_id, t.member_id, t.is_outside, t.place
FROM unnest(:teams) AS k (team_id)
CROSS JOIN LATERAL (
  SELECT f.* FROM (
    (SELECT m.user_id, m.id AS member_id, false AS is_outside, tm.user_id AS place FROM team_members tm {seen}
        AND NOT :after_members AND (:after IS NULL OR tm.user_id > :after)
      ORDER BY tm.user_id LIMIT :most)
    UNION ALL
    (SELECT tm.user_id, NULL::uuid, true, collaborator_id(tm.organization_id, tm.user_id) FROM team_members tm {seen_outside}
        AND (NOT :after_members OR collaborator_id(tm.organization_id, tm.user_id) > :after)
      ORDER BY collaborator_id(tm.organization_id, tm.user_id) LIMIT :most)
  ) f
  ORDER BY f.is_outside, f.place LIMIT :most
) AS t
ORDER BY k.team_id, t.is_outside, t.place
