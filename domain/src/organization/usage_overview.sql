SELECT
  coalesce(c.purchased, 0) AS purchased, coalesce(c.spent, 0) AS spent,
  coalesce(s.used_bytes, 0) AS storage_bytes,
  (SELECT count(*) FROM members m WHERE m.organization_id = o.id AND m.status = 'active') AS users,
  (SELECT count(*) FROM resources r WHERE r.organization_id = o.id AND r.kind = 'workspace') AS workspaces,
  coalesce((
    SELECT sum(d.total) FROM unnest(:day_starts, :day_ends) AS w (starts, ends)
    JOIN run_days d ON d.organization_id = o.id AND d.day >= w.starts AND d.day < w.ends
  ), 0)::bigint + (
    SELECT count(*) FROM runs r
    WHERE r.organization_id = o.id AND r.queued_at >= (:entry_starts)[1] AND r.queued_at < (:entry_ends)[1]
  ) + (
    SELECT count(*) FROM runs r
    WHERE r.organization_id = o.id AND r.queued_at >= (:entry_starts)[2] AND r.queued_at < (:entry_ends)[2]
  ) AS runs
FROM organizations o
LEFT JOIN organization_credits c ON c.organization_id = o.id
LEFT JOIN organization_storage s ON s.organization_id = o.id
WHERE o.id = :organization_id
