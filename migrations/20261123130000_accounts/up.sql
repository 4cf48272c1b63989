-- Accounts: another address, and their end.

-- Another address for an account: it takes the place of the old one once the link that was mailed there is confirmed.
CREATE TABLE email_changes (
  id uuid CONSTRAINT email_changes_pkey PRIMARY KEY,
  user_id uuid NOT NULL CONSTRAINT email_changes_user_id_fkey REFERENCES users (id),
  -- Which session asked: where that is ended, nothing comes of it any more.
  session_id uuid NOT NULL CONSTRAINT email_changes_session_id_fkey REFERENCES sessions (id) ON DELETE CASCADE,
  -- The account's address when it was asked for: it hears of it, and of the outcome.
  old_email text NOT NULL CONSTRAINT email_changes_old_email_lower CHECK (old_email = lower(old_email)),
  new_email text NOT NULL CONSTRAINT email_changes_new_email_lower CHECK (new_email = lower(new_email)),
  status text NOT NULL DEFAULT 'open' CONSTRAINT email_changes_status_check CHECK (status IN ('open', 'confirmed', 'replaced')),
  created_at timestamptz NOT NULL,
  confirmed_at timestamptz,
  CONSTRAINT email_changes_confirmed_at_its_time CHECK ((status = 'confirmed') = (confirmed_at IS NOT NULL))
);
-- A newer one replaces the older.
CREATE UNIQUE INDEX email_changes_open_key ON email_changes (user_id) WHERE status = 'open';
CREATE INDEX email_changes_session_id_idx ON email_changes (session_id);
CREATE INDEX email_changes_created_at_idx ON email_changes (created_at);

-- A deleted account stays as a row without a name, since resources, departures and the like refer to it.
ALTER TABLE users
  ALTER COLUMN email DROP NOT NULL,
  ADD COLUMN deleted_at timestamptz,
  ADD CONSTRAINT users_deleted_without_address CHECK ((deleted_at IS NULL) = (email IS NOT NULL));

-- Where the confirmation of a deletion goes; the row goes with the mail.
CREATE TABLE account_deletions (
  user_id uuid CONSTRAINT account_deletions_pkey PRIMARY KEY CONSTRAINT account_deletions_user_id_fkey REFERENCES users (id),
  email text NOT NULL,
  name text NOT NULL,
  deleted_at timestamptz NOT NULL
);
CREATE INDEX account_deletions_deleted_at_idx ON account_deletions (deleted_at);
