-- "around" has the resource, its containers, and the collections that gather it with theirs; "shared" what is granted
-- there. People come from ranges of indexes, a page of each: members whose role and permissions are enough, members of
-- teams, and those whom a grant or an owner's name leads to. What they may do is decided by the expression for access.
-- First come those whom the actor sees, by the ids of their accounts, then others by their ids as collaborators.
WITH thing AS MATERIALIZED (
  SELECT r.id, r.organization_id, r.kind, r.owner_id, r.container_id, c.container_id AS outer_id
  FROM resources r LEFT JOIN resources c ON c.id = r.container_id WHERE r.id = :resource_id
), around AS MATERIALIZED (
  SELECT r.id, r.owner_id, r.visibility FROM thing t JOIN resources r ON r.id IN (t.id, t.container_id, t.outer_id)
  UNION
  SELECT a.id, a.owner_id, a.visibility FROM thing t
  JOIN collection_items i ON i.resource_id = t.id
  JOIN resources k ON k.id = i.collection_id
  JOIN resources a ON a.id IN (k.id, k.container_id)
  WHERE :at_least <= 1
), shared AS MATERIALIZED (
  SELECT g.user_id, g.team_id, g.grantee_organization_id FROM around a JOIN grants g ON g.resource_id = a.id
  WHERE access_rank(g.level) >= :at_least
), seen AS MATERIALIZED (
  SELECT * FROM unnest(:seen_organizations, :seen_roles) AS s (organization_id, role)
), ranges AS MATERIALIZED (
  SELECT DISTINCT s.organization_id, k.role, p.projects, b.apps,
    :sees_all OR EXISTS (SELECT FROM seen v WHERE v.organization_id = s.organization_id AND v.role = k.role) AS is_seen
  FROM thing
  CROSS JOIN LATERAL (
    SELECT thing.organization_id,
      :at_least <= 1 AND EXISTS (SELECT FROM around a WHERE a.visibility = 'organization') AS everyone, true AS holds
    UNION ALL
    SELECT s.grantee_organization_id, false, false FROM shared s WHERE s.grantee_organization_id IS NOT NULL
  ) s
  CROSS JOIN unnest(ARRAY['owner', 'admin', 'member', 'viewer']) AS k (role)
  CROSS JOIN unnest(ARRAY['none', 'view', 'upload', 'contribute', 'administer']) AS p (projects)
  CROSS JOIN unnest(ARRAY[false, true]) AS b (apps)
  WHERE (s.everyone OR k.role IN ('owner', 'admin') OR NOT s.holds AND (k.role <> 'viewer' OR :at_least <= 1)
      AND CASE thing.kind WHEN 'app' THEN b.apps ELSE access_rank(p.projects) >= :at_least END)
    -- Of an organization that the actor doesn't see, there may be members whom they see elsewhere.
    AND (NOT s.holds OR :sees_all OR EXISTS (SELECT FROM seen v WHERE v.organization_id = s.organization_id AND v.role = k.role))
), known AS (
  SELECT k.user_id FROM (
    SELECT f.user_id FROM ranges s CROSS JOIN LATERAL (
      SELECT p.user_id FROM members p
      WHERE p.organization_id = s.organization_id AND p.role = s.role AND p.shared_projects = s.projects
        AND p.shared_apps = s.apps AND p.status = 'active' AND p.user_id > :after_known AND (s.is_seen OR {is_seen})
      ORDER BY p.user_id LIMIT :most) f
    UNION ALL
    SELECT f.user_id FROM (SELECT DISTINCT s.team_id FROM shared s WHERE s.team_id IS NOT NULL) t CROSS JOIN LATERAL (
      SELECT p.user_id FROM team_members p
      WHERE p.team_id = t.team_id AND p.user_id > :after_known AND {is_seen}
      ORDER BY p.user_id LIMIT :most) f
    UNION ALL
    SELECT p.user_id FROM (
      SELECT s.user_id FROM shared s UNION SELECT a.owner_id FROM around a UNION SELECT :viewer_id
    ) p WHERE p.user_id > :after_known AND {is_seen}
  ) k
  WHERE NOT :is_behind_known
  GROUP BY k.user_id ORDER BY k.user_id LIMIT :most
), others AS (
  SELECT o.user_id, o.place FROM (
    SELECT p.user_id, collaborator_id(thing.organization_id, p.user_id) AS place
    FROM thing CROSS JOIN LATERAL (
      SELECT s.user_id FROM shared s WHERE s.user_id IS NOT NULL
      UNION
      SELECT thing.owner_id WHERE thing.kind = 'sample' AND NOT EXISTS (
        SELECT FROM members m
        WHERE m.organization_id = thing.organization_id AND m.user_id = thing.owner_id AND m.status = 'active')
    ) p WHERE NOT {is_seen}
    UNION ALL
    SELECT f.user_id, f.place FROM (SELECT DISTINCT s.team_id FROM shared s WHERE s.team_id IS NOT NULL) t CROSS JOIN LATERAL (
      SELECT p.user_id, collaborator_id(p.organization_id, p.user_id) AS place FROM team_members p
      WHERE p.team_id = t.team_id AND p.outside AND collaborator_id(p.organization_id, p.user_id) > :after_others
        AND NOT {is_seen}
      ORDER BY collaborator_id(p.organization_id, p.user_id) LIMIT :most) f
    WHERE :sees_collaborators
  ) o
  WHERE NOT :sees_all AND o.place > :after_others
  GROUP BY o.user_id, o.place ORDER BY o.place LIMIT :most
), page AS (
  SELECT k.user_id, false AS is_other, k.user_id AS place FROM known k
  UNION ALL
  SELECT o.user_id, true, o.place FROM others o
  ORDER BY is_other, place LIMIT :most
)
SELECT p.user_id, p.is_other, p.place, r.organization_id, coalesce(access.rank, 0) AS rank, {columns}
FROM page p
JOIN resources r ON r.id = :resource_id
LEFT JOIN {access} ON true{ways}
ORDER BY p.is_other, p.place
