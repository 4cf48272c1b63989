-- Rows are inserted in a fixed order, so that concurrent transactions wait for each other instead of deadlocking.
INSERT INTO attempts AS a (bucket, subject, window_ends_at, count)
SELECT n.bucket, n.subject, rollcall_now() + make_interval(secs => n.seconds), n.number
FROM unnest(:buckets, :subjects, :seconds, :numbers) AS n (bucket, subject, seconds, number)
ORDER BY n.bucket, n.subject
ON CONFLICT ON CONSTRAINT attempts_pkey DO UPDATE SET
  count = CASE WHEN a.window_ends_at > rollcall_now() THEN a.count ELSE 0 END + excluded.count,
  window_ends_at = CASE WHEN a.window_ends_at > rollcall_now() THEN a.window_ends_at ELSE excluded.window_ends_at END
RETURNING bucket, subject, count, window_ends_at, rollcall_now() AS now
