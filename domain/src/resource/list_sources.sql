-- The sources through which the user reaches resources: "me" contains their memberships; "own" what is granted to
-- themselves; "granted" that, what else is granted to them, and what is moving to them; "inside" the containers and
-- collections that they reach. "apps" and "others" say which kinds a grant gives access to (R58). Where a level is
-- asked for, "apps_rank" and "others_rank" say how much of it.
WITH me AS MATERIALIZED (
  SELECT m.organization_id, m.role IN ('owner', 'admin') AS leads{me_cap}
  FROM members m JOIN organizations o ON o.id = m.organization_id AND o.deleted_at IS NULL
  WHERE m.user_id = :user_id AND m.status = 'active'{only_member}
), own AS MATERIALIZED (
  SELECT g.organization_id, g.resource_id, m.status IS DISTINCT FROM 'active' AS outside{grant_rank} FROM grants g
  JOIN organizations o ON o.id = g.organization_id AND o.deleted_at IS NULL
  LEFT JOIN members m ON m.organization_id = g.organization_id AND m.user_id = :user_id
  WHERE g.user_id = :user_id{only_grant} AND {own_counts}
), granted AS MATERIALIZED (
  SELECT resource_id, true AS apps, true AS others{own_ranks} FROM own
  UNION ALL
  SELECT g.resource_id, true, true{team_ranks} FROM me
  JOIN team_members t ON t.organization_id = me.organization_id AND t.user_id = :user_id
  JOIN grants g ON g.team_id = t.team_id
  UNION ALL
  -- A collaborator has what their teams are granted as long as something is granted to themselves (R81).
  SELECT g.resource_id, true, true{team_ranks} FROM (SELECT DISTINCT organization_id FROM own WHERE outside) c
  JOIN team_members t ON t.organization_id = c.organization_id AND t.user_id = :user_id
  JOIN grants g ON g.team_id = t.team_id
  UNION ALL
  SELECT g.resource_id, gm.role IN ('owner', 'admin') OR gm.shared_apps,
    gm.role IN ('owner', 'admin') OR gm.shared_projects <> 'none'{organization_ranks}
  FROM members gm
  JOIN organizations go ON go.id = gm.organization_id AND go.deleted_at IS NULL AND go.personal_user_id IS NULL
  JOIN grants g ON g.grantee_organization_id = gm.organization_id
  JOIN organizations o ON o.id = g.organization_id AND o.deleted_at IS NULL
  WHERE gm.user_id = :user_id AND gm.status = 'active'{only_grant}
    AND (g.grantee_organization_id = g.organization_id OR o.external_sharing = 'allowed')
  UNION ALL
  SELECT r.id, true, true{read_ranks} FROM resources r
  JOIN organizations o ON o.id = r.organization_id AND o.deleted_at IS NULL
  WHERE r.owner_id = :user_id AND r.moving{only_moving}
), holders AS MATERIALIZED (
  {owned} UNION {visible} UNION
  SELECT r.id, r.kind, g.apps, g.others{g_ranks} FROM granted g JOIN resources r ON r.id = g.resource_id
  WHERE r.kind = ANY (:leading){or_itself}
), inside AS MATERIALIZED (
  SELECT * FROM holders
  UNION
  SELECT r.id, r.kind, h.apps, h.others{h_ranks} FROM holders h
  CROSS JOIN LATERAL (
    SELECT r.id, r.kind FROM resources r WHERE r.container_id = h.id AND r.kind = ANY (:leading) OFFSET 0) r{itself}
)
