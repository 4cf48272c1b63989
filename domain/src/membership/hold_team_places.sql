-- Locks the places in teams of those of the people who aren't members, one person after the other. Two transactions
-- that each end a grant of the same person therefore don't both see the other's grant.
SELECT p.user_id, pg_advisory_xact_lock(hashtextextended('team places ' || p.organization_id || ' ' || p.user_id, 0))::text AS held
FROM (
  SELECT DISTINCT t.organization_id, t.user_id FROM team_members t
  LEFT JOIN members m ON m.organization_id = t.organization_id AND m.user_id = t.user_id
  WHERE t.organization_id = :organization_id AND t.user_id = ANY (:users) AND m.status IS DISTINCT FROM 'active'
  ORDER BY t.user_id
) p
