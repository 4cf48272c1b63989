SELECT
  (SELECT count(*) FROM (SELECT {rows} LIMIT :most) waiting) AS count,
  ARRAY(SELECT {shown} {rows} ORDER BY {table}.id LIMIT :examples) AS examples
