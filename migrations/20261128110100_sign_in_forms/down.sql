ALTER TABLE sign_in_requests DROP COLUMN form_digest;
