-- Goes from person to person along the index of grants to people outside, until enough of them are collaborators. A
-- page therefore costs the same however much is granted to each. The order is that of the collaborators' own ids, so
-- that a cursor reveals nobody's account.
WITH RECURSIVE person AS (
  SELECT c.*, (c.since IS NOT NULL)::integer AS found
  FROM (
    SELECT coalesce(:after, '00000000-0000-0000-0000-000000000000') AS after
  ) s CROSS JOIN LATERAL ({next}) c
  UNION ALL
  SELECT c.*, s.found + (c.since IS NOT NULL)::integer
  FROM (SELECT id AS after, found FROM person WHERE found < :most) s CROSS JOIN LATERAL ({next}) c
)
