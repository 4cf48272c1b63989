-- The grants to a user on a resource: what each gives by itself (given), what of that counts (rank), and what keeps it
-- lower (limits: a set of bits). {{user}} and {{resource}} are ids; r, o and m are the resource in question, its
-- organization, and the user's membership there.
SELECT g.id AS grant_id, g.resource_id, NULL::uuid AS team_id, NULL::uuid AS organization_id, 'grant' AS kind,
  access_rank(g.level) AS given,
  CASE WHEN {own_counts} THEN access_rank(g.level) ELSE 0 END AS rank,
  CASE WHEN {own_counts} THEN 0
    ELSE CASE WHEN m.status = 'active' OR g.position <= m.ended_at_position THEN {sleeping} ELSE 0 END
      + CASE WHEN m.status = 'active' OR o.external_sharing = 'allowed' THEN 0 ELSE {external_sharing} END END AS limits
FROM grants g
WHERE g.user_id = {user} AND g.resource_id = {resource}
UNION ALL
SELECT g.id, g.resource_id, g.team_id, NULL::uuid, 'team_grant', access_rank(g.level),
  CASE WHEN {teams_count} THEN access_rank(g.level) ELSE 0 END,
  CASE WHEN {teams_count} THEN 0 WHEN o.external_sharing = 'allowed' THEN {sleeping} ELSE {external_sharing} END
FROM team_members t
JOIN grants g ON g.team_id = t.team_id AND g.resource_id = {resource}
WHERE t.organization_id = r.organization_id AND t.user_id = {user}
UNION ALL
SELECT g.id, g.resource_id, NULL::uuid, g.grantee_organization_id, 'organization_grant', access_rank(g.level),
  CASE WHEN g.grantee_organization_id = r.organization_id OR o.external_sharing = 'allowed' THEN least(
    access_rank(g.level),
    CASE WHEN gm.role IN ('owner', 'admin') THEN 4
      WHEN r.kind = 'app' THEN CASE WHEN gm.shared_apps THEN 4 ELSE 0 END
      ELSE access_rank(gm.shared_projects) END,
    CASE gm.role WHEN 'viewer' THEN 1 ELSE 4 END) ELSE 0 END,
  CASE WHEN g.grantee_organization_id = r.organization_id OR o.external_sharing = 'allowed' THEN 0 ELSE {external_sharing} END
    + CASE WHEN gm.role IN ('owner', 'admin') THEN 0
      WHEN r.kind = 'app' THEN CASE WHEN gm.shared_apps THEN 0 ELSE {shared_apps} END
      WHEN access_rank(gm.shared_projects) < access_rank(g.level) THEN {shared_projects} ELSE 0 END
    + CASE WHEN gm.role = 'viewer' AND access_rank(g.level) > 1 THEN {viewer_role} ELSE 0 END
FROM members gm
JOIN organizations go ON go.id = gm.organization_id AND go.deleted_at IS NULL AND go.personal_user_id IS NULL
JOIN grants g ON g.grantee_organization_id = gm.organization_id AND g.resource_id = {resource}
WHERE gm.user_id = {user} AND gm.status = 'active'
