-- The grants to a user on a resource that count, as ranks. {{user}} and {{resource}} are ids; r, o and m are the
-- resource in question, its organization, and the user's membership there.
SELECT access_rank(g.level) AS rank FROM grants g
WHERE g.user_id = {user} AND g.resource_id = {resource} AND {own_counts}
UNION ALL
SELECT access_rank(g.level) FROM team_members t
JOIN grants g ON g.team_id = t.team_id AND g.resource_id = {resource}
WHERE t.organization_id = r.organization_id AND t.user_id = {user} AND {teams_count}
UNION ALL
SELECT least(
  access_rank(g.level),
  CASE WHEN gm.role IN ('owner', 'admin') THEN 4
    WHEN r.kind = 'app' THEN CASE WHEN gm.shared_apps THEN 4 ELSE 0 END
    ELSE access_rank(gm.shared_projects) END,
  CASE gm.role WHEN 'viewer' THEN 1 ELSE 4 END)
FROM members gm
JOIN organizations go ON go.id = gm.organization_id AND go.deleted_at IS NULL AND go.personal_user_id IS NULL
JOIN grants g ON g.grantee_organization_id = gm.organization_id AND g.resource_id = {resource}
WHERE gm.user_id = {user} AND gm.status = 'active'
  AND (g.grantee_organization_id = r.organization_id OR o.external_sharing = 'allowed')
