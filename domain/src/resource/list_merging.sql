{sources}, page AS (
  SELECT r.id FROM (
    {led} UNION ALL {owned} UNION ALL {visible}
    UNION ALL
    SELECT r.id FROM granted g JOIN resources r ON r.id = g.resource_id
    WHERE r.kind = ANY (:kinds) AND {granted_allow}{wanted}
    UNION ALL
    SELECT f.id FROM inside h
    JOIN unnest(:containers, :held) AS p (container, kind) ON p.container = h.kind AND p.kind = ANY (:kinds)
    CROSS JOIN LATERAL (
      SELECT r.id FROM resources r WHERE r.container_id = h.id AND r.kind = p.kind{wanted} {sorted}) f
    WHERE {contents_allow}{in_container}
    UNION ALL
    SELECT f.id FROM inside h
    CROSS JOIN unnest(:kinds) AS k (kind)
    CROSS JOIN LATERAL (
      SELECT i.resource_id AS id FROM collection_items i{narrowed_items}
      WHERE i.collection_id = h.id AND i.kind = k.kind{item_bounds} {sorted_items}) f
    WHERE h.kind = 'collection' AND {items_allow}{own_samples}
  ) r GROUP BY r.id {sorted}
)
SELECT {columns}{level} FROM page JOIN resources r USING (id){access} ORDER BY r.id {direction}
