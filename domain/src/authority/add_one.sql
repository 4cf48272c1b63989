-- Nobody holds the row until the commit has reached the disk.
WITH commit AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO attempts AS a (bucket, subject, window_ends_at, count)
SELECT :bucket, :subject, rollcall_now() + make_interval(secs => :seconds), 1 FROM commit
ON CONFLICT ON CONSTRAINT attempts_pkey DO UPDATE SET
  count = CASE WHEN a.window_ends_at > rollcall_now() THEN a.count + 1 ELSE 1 END,
  window_ends_at = CASE WHEN a.window_ends_at > rollcall_now() THEN a.window_ends_at ELSE excluded.window_ends_at END
RETURNING count, window_ends_at, rollcall_now() AS now
