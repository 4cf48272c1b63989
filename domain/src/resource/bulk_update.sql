UPDATE resources AS r SET name = n.name, folded_name = n.folded_name, description = n.description, container_id = n.container_id,
  visibility = n.visibility, size_bytes = n.size_bytes, subtype = n.subtype, metadata = n.metadata, updated_at = :at
FROM unnest(:ids, :names, :folded_names, :descriptions, :containers, :visibilities, :sizes, :subtypes, :metadata)
  AS n (id, name, folded_name, description, container_id, visibility, size_bytes, subtype, metadata)
WHERE r.id = n.id
RETURNING {columns}
