ALTER TABLE departures DROP COLUMN told_at, DROP COLUMN message_to_member;
