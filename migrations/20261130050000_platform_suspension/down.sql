ALTER TABLE account_deletions DROP COLUMN by_platform;
DELETE FROM email_changes WHERE session_id IS NULL;
ALTER TABLE email_changes ALTER COLUMN session_id SET NOT NULL;
ALTER TABLE users DROP COLUMN platform_suspension;
