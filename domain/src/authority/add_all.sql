-- Counts all attempts, unless a window is full. Then it counts nothing, and returns the full windows as they are. While
-- the rows are inserted, another transaction may fill a window; the caller sees that by the count.
--
-- Rows are inserted in a fixed order, so that concurrent transactions wait for each other instead of deadlocking.
WITH commit AS MATERIALIZED (
  SELECT CASE WHEN :by_itself THEN set_config('synchronous_commit', 'off', true) END
), new AS MATERIALIZED (
  SELECT n.* FROM unnest(:buckets, :subjects, :seconds, :numbers, :tries) AS n (bucket, subject, seconds, number, tries), commit
), filled AS MATERIALIZED (
  SELECT a.bucket, a.subject, a.count, a.window_ends_at FROM new CROSS JOIN LATERAL (
    SELECT * FROM attempts
    WHERE attempts.bucket = new.bucket AND attempts.subject = new.subject AND attempts.window_ends_at > rollcall_now()
      AND attempts.count + new.number > new.tries
    LIMIT 1
  ) a
), added AS (
  INSERT INTO attempts AS a (bucket, subject, window_ends_at, count)
  SELECT new.bucket, new.subject, rollcall_now() + make_interval(secs => new.seconds), new.number
  FROM new WHERE NOT EXISTS (SELECT FROM filled)
  ORDER BY new.bucket, new.subject
  ON CONFLICT ON CONSTRAINT attempts_pkey DO UPDATE SET
    count = CASE WHEN a.window_ends_at > rollcall_now() THEN a.count ELSE 0 END + excluded.count,
    window_ends_at = CASE WHEN a.window_ends_at > rollcall_now() THEN a.window_ends_at ELSE excluded.window_ends_at END
  RETURNING bucket, subject, count, window_ends_at
)
SELECT *, true AS added, rollcall_now() AS now FROM added
UNION ALL SELECT *, false, rollcall_now() FROM filled
