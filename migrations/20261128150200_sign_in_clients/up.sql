-- From where a sign-in mail was asked for: its job counts those to addresses without an account.
ALTER TABLE sign_in_requests ADD COLUMN client text;
