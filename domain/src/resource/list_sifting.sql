{sources}, found AS MATERIALIZED (
  SELECT r.id, r.organization_id, r.kind, r.owner_id, r.visibility, r.container_id FROM resources r WHERE {found}
), page AS (
  SELECT f.id FROM found f
  WHERE f.kind = ANY (:kinds){narrowed} AND (
    EXISTS (
      SELECT FROM me WHERE me.organization_id = f.organization_id
        AND (me.leads OR f.owner_id = :user_id OR f.visibility = 'organization'))
    OR CASE f.kind WHEN 'app' THEN {apps} ELSE {others} END)
  {sorted}
)
SELECT {columns} FROM page JOIN resources r USING (id) ORDER BY r.id {direction}
