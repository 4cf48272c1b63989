DROP INDEX resource_moves_to_revert_idx;
ALTER TABLE resource_moves DROP CONSTRAINT resource_moves_one_fate, DROP COLUMN kept_because, DROP COLUMN reverted_at;
