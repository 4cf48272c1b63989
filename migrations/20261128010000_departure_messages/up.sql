-- What the mail tells a leaver, which the reason isn't for, and when they were told that their membership has ended, where that was
-- before everything was passed on.
ALTER TABLE departures ADD COLUMN message_to_member text, ADD COLUMN told_at timestamptz;
-- Whose cascade hasn't come to its end was told at once.
UPDATE departures SET told_at = started_at WHERE kind <> 'leave' AND status IN ('running', 'failed');
