DROP INDEX collection_items_kind_idx;
ALTER TABLE collection_items DROP COLUMN kind;
DROP INDEX resources_visible_container_idx;
DROP INDEX resources_visible_owner_idx;
DROP INDEX resources_container_owner_idx;
