ALTER TABLE sign_in_requests DROP COLUMN mailed_at;
