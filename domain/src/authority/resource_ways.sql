-- The kinds of ways are those of AccessReasonKind.
LATERAL (
  SELECT w.kind, w.resource_id, w.grant_id, w.team_id, w.organization_id, w.given,
    w.limits | CASE WHEN u.suspended_at IS NULL THEN 0 ELSE {suspended} END
      | CASE WHEN w.given > 1 AND m.status = 'active' AND m.role = 'viewer' THEN {viewer_role} ELSE 0 END
      | CASE WHEN w.given > 1 AND (r.moving OR c1.moving OR c2.moving) THEN {moving} ELSE 0 END AS limits
  FROM organizations o
  JOIN users u ON u.id = {user} AND u.deleted_at IS NULL
  LEFT JOIN members m ON m.organization_id = o.id AND m.user_id = u.id
  LEFT JOIN resources c1 ON c1.id = r.container_id
  LEFT JOIN resources c2 ON c2.id = c1.container_id
  CROSS JOIN LATERAL (
    SELECT 'leader' AS kind, NULL::uuid AS resource_id, NULL::uuid AS grant_id, NULL::uuid AS team_id,
      o.id AS organization_id, 4 AS given, 0 AS limits
    WHERE m.status = 'active' AND m.role IN ('owner', 'admin')
    UNION ALL
    SELECT c.kind, c.id, NULL, NULL, CASE c.kind WHEN 'visibility' THEN o.id END, c.given, 0
    FROM (
      VALUES (r.id, r.owner_id, r.visibility, r.moving), (c1.id, c1.owner_id, c1.visibility, c1.moving),
        (c2.id, c2.owner_id, c2.visibility, c2.moving)
    ) AS a (id, owner_id, visibility, moving)
    CROSS JOIN LATERAL (
      SELECT 'owner' AS kind, a.id, 4 AS given WHERE m.status = 'active' AND a.owner_id = {user}
      UNION ALL
      SELECT 'visibility', a.id, 1 WHERE m.status = 'active' AND a.visibility = 'organization'
      UNION ALL
      SELECT 'transfer', a.id, 1 WHERE a.moving AND a.owner_id = {user}
    ) c
    UNION ALL
    SELECT 'own_sample', r.id, NULL, NULL, NULL, 4, 0
    WHERE m.status IS DISTINCT FROM 'active' AND r.kind = 'sample' AND r.owner_id = {user}
      AND EXISTS (SELECT FROM ({on_chain}) g WHERE g.rank > 0)
    UNION ALL
    SELECT g.kind, g.resource_id, g.grant_id, g.team_id, g.organization_id, g.given, g.limits FROM ({on_chain}) g
    UNION ALL
    SELECT 'collection', k.id, NULL, NULL, NULL, 1, CASE WHEN bool_or(x.reaches) THEN 0 ELSE bit_or(x.limits) END
    FROM collection_items i
    JOIN resources k ON k.id = i.collection_id
    LEFT JOIN resources w ON w.id = k.container_id
    CROSS JOIN LATERAL (
      SELECT true AS reaches, 0 AS limits
      WHERE m.status = 'active'
        AND ({user} IN (k.owner_id, w.owner_id) OR 'organization' IN (k.visibility, w.visibility))
      UNION ALL
      SELECT g.rank > 0, g.limits FROM ({on_collection}) g
    ) x
    WHERE i.resource_id = r.id
    GROUP BY k.id
  ) w
  WHERE o.id = r.organization_id AND o.deleted_at IS NULL
) way
