INSERT INTO resources AS r (id, organization_id, kind, name, folded_name, description, owner_id, owned_since, created_by_id,
  container_id, visibility, size_bytes, created_at, updated_at, external_id, subtype, metadata)
SELECT n.id, :organization_id, n.kind, n.name, n.folded_name, n.description, n.owner_id, :at, n.owner_id,
  n.container_id, n.visibility, n.size_bytes, coalesce(n.created_at, :at), :at, n.external_id, n.subtype, n.metadata
FROM unnest(:ids, :kinds, :names, :folded_names, :descriptions, :owners, :containers, :visibilities, :sizes, :created, :external_ids,
    :subtypes, :metadata)
  AS n (id, kind, name, folded_name, description, owner_id, container_id, visibility, size_bytes, created_at, external_id,
    subtype, metadata)
ON CONFLICT (external_id, kind) WHERE external_id IS NOT NULL DO NOTHING
RETURNING {columns}
