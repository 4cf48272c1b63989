-- The rows are updated by a list of their ids. Joined with the chunk, of whose size the planner knows nothing, they might be
-- looked for in the whole table.
WITH chunk AS MATERIALIZED (
  SELECT locked.*, row_number() OVER () AS number
  FROM (
    SELECT r.id, r.kind, r.name, r.visibility FROM resources r WHERE {left_behind}{beyond}
    ORDER BY r.id LIMIT :most FOR NO KEY UPDATE
  ) locked
), moved AS (
  UPDATE resources r SET {change} WHERE r.id = ANY (ARRAY(SELECT id FROM chunk))
), written AS (
  INSERT INTO resource_moves (id, organization_id, departure_id, resource_id, resource_kind, resource_name, from_id, to_id,
    moved_at, container_id, visibility)
  SELECT n.id, :organization_id, :departure_id, c.id, c.kind, c.name, :leaver_id, {to}, :at, :collected_in, {was}
  FROM chunk c JOIN unnest(:move_ids) WITH ORDINALITY AS n (id, number) USING (number)
)
SELECT
  (SELECT count(*) FROM chunk) AS count,
  ARRAY(SELECT id FROM chunk ORDER BY id) AS ids,
  (SELECT id FROM chunk ORDER BY id DESC LIMIT 1) AS last_id
