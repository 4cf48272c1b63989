ALTER TABLE project_transfers DROP COLUMN recipient_named_as;
ALTER TABLE grants DROP COLUMN named_as;
