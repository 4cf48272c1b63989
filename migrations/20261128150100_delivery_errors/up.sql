-- What mail servers said of people who were invited by username may hold their addresses: only the servers' codes stay.
UPDATE invitations
SET delivery_error = 'the mail server didn''t take it'
  || coalesce(': ' || substring(delivery_error FROM '^\d{3}(?: [45]\.\d{1,3}\.\d{1,3}(?!\S))?'), ', or didn''t answer')
WHERE email IS NULL AND delivery_error <> 'the mail could not be sent for a day; send the invitation again';
