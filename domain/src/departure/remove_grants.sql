WITH chunk AS MATERIALIZED (
  SELECT g.id FROM grants g
  WHERE g.organization_id = :organization_id AND g.user_id = :leaver_id AND g.position <= :ended_at AND g.id > :after
  ORDER BY g.id LIMIT :most FOR UPDATE
), removed AS (
  DELETE FROM grants g USING chunk c WHERE g.id = c.id AND {ending} RETURNING g.id
), kept AS (
  UPDATE grants g SET kept_position = greatest(g.kept_position, :ended_at) FROM chunk c WHERE g.id = c.id AND NOT ({ending})
)
SELECT
  (SELECT count(*) FROM chunk) AS looked_at,
  ARRAY(SELECT id FROM removed ORDER BY id) AS removed,
  (SELECT id FROM chunk ORDER BY id DESC LIMIT 1) AS last_id
