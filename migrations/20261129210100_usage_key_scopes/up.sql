-- The keys of a service key's reports are its organization's, whatever an entry names (R82). Entries from before may
-- have their key in the scope of the user whose default paid; whether a service key reported them isn't known.
ALTER TABLE usage_entries ADD COLUMN of_any_reporter boolean NOT NULL DEFAULT true;
ALTER TABLE usage_entries ALTER COLUMN of_any_reporter SET DEFAULT false;
