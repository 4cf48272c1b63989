-- The digest of the form by which a page asked: sent twice, it asks for one mail.
ALTER TABLE sign_in_requests ADD COLUMN form_digest bytea CONSTRAINT sign_in_requests_form_digest_key UNIQUE;
