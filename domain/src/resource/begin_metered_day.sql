-- The day after the last one that was begun, if it is over; at first, yesterday.
INSERT INTO metered_days (day)
SELECT next.day FROM (
  SELECT coalesce((SELECT max(day) + 1 FROM metered_days), t.today - 1) AS day, t.today
  FROM (SELECT (rollcall_now() AT TIME ZONE 'UTC')::date AS today) t
) next
WHERE next.day < next.today AND NOT EXISTS (SELECT FROM metered_days WHERE completed_at IS NULL)
ON CONFLICT DO NOTHING
