-- When the email of a request was to be sent: without it, there are no digits that somebody could type.
ALTER TABLE sign_in_requests ADD COLUMN mailed_at timestamptz;
UPDATE sign_in_requests SET mailed_at = created_at;
