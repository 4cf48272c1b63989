-- Reads at most a page of each range by the index for the order, and merges them.
SELECT found.* FROM (
  SELECT part.*
  FROM unnest(:statuses, :roles, :after_ids, :before_ids) AS range (status, role, after_id, before_id)
  CROSS JOIN LATERAL (
    SELECT {columns} FROM members m
    WHERE m.organization_id = :organization_id AND m.status = range.status AND m.role = range.role{bounds_of_range}{search}
    {sorted_range}
  ) part
  UNION ALL
  SELECT {columns} FROM members m
  WHERE m.organization_id = :organization_id AND m.id = :own_id{bounds}{search}
) found {sorted}
