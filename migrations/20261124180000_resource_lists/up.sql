-- What lists of resources go along, whatever they are narrowed to.

-- Somebody's, among what lies in a container.
CREATE INDEX resources_container_owner_idx ON resources (container_id, owner_id, kind, id) WHERE container_id IS NOT NULL;
-- What members see, of somebody and in a container.
CREATE INDEX resources_visible_owner_idx ON resources (organization_id, owner_id, kind, id) WHERE visibility = 'organization';
CREATE INDEX resources_visible_container_idx ON resources (container_id, kind, id)
  WHERE visibility = 'organization' AND container_id IS NOT NULL;

-- What collections gather, kind by kind; a resource's kind never changes.
ALTER TABLE collection_items ADD COLUMN kind text;
UPDATE collection_items i SET kind = r.kind FROM resources r WHERE r.id = i.resource_id;
ALTER TABLE collection_items ALTER COLUMN kind SET NOT NULL;
CREATE INDEX collection_items_kind_idx ON collection_items (collection_id, kind, resource_id);
