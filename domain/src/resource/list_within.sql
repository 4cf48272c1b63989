SELECT k.ordinal, {columns}
FROM unnest(:ids, :owners) WITH ORDINALITY AS k (id, owner_id, ordinal)
CROSS JOIN LATERAL (
  SELECT f.id FROM unnest(:kinds) AS x (kind)
  CROSS JOIN LATERAL (
    SELECT r.id FROM {source} AND access.rank > 0{bounds} ORDER BY {id} {direction} LIMIT :most
  ) f
  ORDER BY f.id {direction} LIMIT :most
) p
JOIN resources r ON r.id = p.id
ORDER BY k.ordinal, r.id {direction}
