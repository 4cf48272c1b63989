-- Whether the account's log tells of the request. The mail's job writes it there: asking takes the same statements, and as long, whether or
-- not the address has an account.
ALTER TABLE sign_in_requests ADD COLUMN recorded boolean NOT NULL DEFAULT true;
ALTER TABLE sign_in_requests ALTER COLUMN recorded SET DEFAULT false;
