ALTER TABLE resources DROP COLUMN external_id, DROP COLUMN subtype, DROP COLUMN metadata;
ALTER TABLE teams DROP COLUMN external_id, DROP COLUMN metadata;
ALTER TABLE members DROP COLUMN metadata;
ALTER TABLE organizations DROP COLUMN external_id, DROP COLUMN metadata;
ALTER TABLE users DROP COLUMN external_id, DROP COLUMN metadata;
