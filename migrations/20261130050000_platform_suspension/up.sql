-- Whether the platform has suspended an account, and whether the person was told (R84). Null for a suspension by an organization (D6).
ALTER TABLE users
  ADD COLUMN platform_suspension text
    CONSTRAINT users_platform_suspension_check CHECK (platform_suspension IN ('told', 'silent')),
  ADD CONSTRAINT users_platform_suspension_is_a_suspension CHECK (platform_suspension IS NULL OR suspended_at IS NOT NULL);

-- An address that the platform's staff have changed comes from no session.
ALTER TABLE email_changes ALTER COLUMN session_id DROP NOT NULL;

-- Whether the platform deleted the account, and not the person.
ALTER TABLE account_deletions ADD COLUMN by_platform boolean NOT NULL DEFAULT false;
