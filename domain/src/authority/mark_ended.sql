WITH chunk AS MATERIALIZED (
  SELECT {table}.id FROM {table} WHERE {condition} ORDER BY {table}.id LIMIT :most FOR UPDATE OF {table}
)
{mark} WHERE {table}.id = chunk.id RETURNING {table}.id, {table}.organization_id
