-- One statement, so that the log and the head are read at the same moment. "before" reveals gaps, "previous" broken
-- links.
WITH head AS (
  SELECT sequence, hash FROM audit_heads WHERE organization_id = :organization_id
), events AS (
  SELECT * FROM audit_events
  WHERE organization_id = :organization_id AND sequence >= :from_sequence - 1
  ORDER BY sequence LIMIT :most + 1
), linked AS (
  SELECT *, lag(hash) OVER w AS previous, lag(sequence) OVER w AS before FROM events WINDOW w AS (ORDER BY sequence)
), judged AS (
  SELECT sequence, hash,
    sequence <> coalesce(before, :from_sequence - 1) + 1
      OR hash IS DISTINCT FROM audit_hash(
        CASE WHEN sequence = 1 THEN ''::bytea ELSE previous END,
        organization_id, sequence, id, action, actor_kind, actor_id, target_id, summary, metadata, occurred_at) AS broken
  FROM linked WHERE sequence >= :from_sequence ORDER BY sequence LIMIT :most
)
SELECT
  (SELECT count(*) FROM judged) AS checked,
  (SELECT max(sequence) FROM judged) AS last,
  (SELECT hash FROM judged ORDER BY sequence DESC LIMIT 1) AS last_hash,
  (SELECT min(sequence) FROM judged WHERE broken) AS broken,
  coalesce((SELECT sequence FROM head), 0) AS head,
  coalesce((SELECT hash FROM head), ''::bytea) AS head_hash
