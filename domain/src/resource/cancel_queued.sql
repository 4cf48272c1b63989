WITH chunk AS MATERIALIZED (
  SELECT id FROM runs
  WHERE organization_id = :organization_id AND queued_by_id = :user_id AND status = 'queued'
    AND queued_at <= coalesce(:queued_until, 'infinity')
  ORDER BY id LIMIT :most FOR NO KEY UPDATE
)
UPDATE runs r SET status = 'cancelled', finished_at = rollcall_now() FROM chunk c WHERE r.id = c.id
RETURNING r.id
