DROP INDEX organizations_deleted_at_idx;
ALTER TABLE organizations DROP CONSTRAINT organizations_deleted_by_someone, DROP COLUMN deleted_by_id;
