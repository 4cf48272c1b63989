-- The facts are computed once each: OFFSET 0 keeps the planner from computing them again wherever they are used.
LATERAL (
  SELECT
    CASE WHEN leads THEN least(4, cap) ELSE least(cap, greatest(
      granted,
      CASE WHEN active AND owns OR granted > 0 AND is_own_sample THEN 4 ELSE 0 END,
      CASE WHEN active AND visible OR receives THEN 1 ELSE 0 END,
      CASE WHEN gathered THEN 1 ELSE 0 END)) END AS rank,
    moving
  FROM (
    SELECT
      coalesce(m.status = 'active', false) AS active,
      coalesce(m.status = 'active' AND m.role IN ('owner', 'admin'), false) AS leads,
      coalesce({user} IN (r.owner_id, c1.owner_id, c2.owner_id), false) AS owns,
      r.kind = 'sample' AND r.owner_id = {user} AS is_own_sample,
      r.moving AND r.owner_id = {user}
        OR coalesce(c1.moving AND c1.owner_id = {user}, false)
        OR coalesce(c2.moving AND c2.owner_id = {user}, false) AS receives,
      coalesce('organization' IN (r.visibility, c1.visibility, c2.visibility), false) AS visible,
      r.moving OR coalesce(c1.moving, false) OR coalesce(c2.moving, false) AS moving,
      CASE WHEN m.status = 'active' AND m.role = 'viewer' OR r.moving OR c1.moving OR c2.moving THEN 1 ELSE 4 END AS cap,
      coalesce((SELECT max(g.rank) FROM ({on_chain}) g), 0) AS granted,
      EXISTS (
        SELECT FROM collection_items i
        JOIN resources k ON k.id = i.collection_id
        LEFT JOIN resources w ON w.id = k.container_id
        WHERE i.resource_id = r.id AND (
          m.status = 'active'
            AND ({user} IN (k.owner_id, w.owner_id) OR 'organization' IN (k.visibility, w.visibility))
          OR EXISTS (SELECT FROM ({on_collection}) g WHERE g.rank > 0))) AS gathered
    FROM organizations o
    JOIN users u ON u.id = {user} AND u.suspended_at IS NULL AND u.deleted_at IS NULL
    LEFT JOIN members m ON m.organization_id = o.id AND m.user_id = u.id
    LEFT JOIN resources c1 ON c1.id = r.container_id
    LEFT JOIN resources c2 ON c2.id = c1.container_id
    WHERE o.id = r.organization_id AND o.deleted_at IS NULL
    OFFSET 0
  ) facts
) access
