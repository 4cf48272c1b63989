DROP TABLE account_deletions;
ALTER TABLE users DROP CONSTRAINT users_deleted_without_address;
-- A deleted account has no address to give back.
UPDATE users SET email = 'deleted-' || id || '@invalid' WHERE email IS NULL;
ALTER TABLE users DROP COLUMN deleted_at, ALTER COLUMN email SET NOT NULL;
DROP TABLE email_changes;
