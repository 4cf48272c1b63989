ALTER TABLE invitations RESET (fillfactor);
DROP INDEX invitations_sent_at_idx;
CREATE INDEX invitations_unsent_idx ON invitations (sent_at)
  WHERE status = 'pending' AND delivery IN ('queued', 'deferred');
