ALTER TABLE sign_in_requests DROP COLUMN client;
