UPDATE attempts a SET count = a.count - held.number
FROM (
  SELECT b.bucket, b.subject, n.number FROM attempts b
  JOIN unnest(:buckets, :subjects, :numbers, :windows) AS n (bucket, subject, number, window_ends_at)
    USING (bucket, subject, window_ends_at)
  ORDER BY b.bucket, b.subject
  FOR UPDATE OF b
) held
WHERE a.bucket = held.bucket AND a.subject = held.subject
