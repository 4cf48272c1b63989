-- What the hourly sweeps look for; without these each would read whole tables.
CREATE INDEX join_codes_overdue_idx ON join_codes (expires_at) WHERE status = 'active';
CREATE INDEX invitations_overdue_idx ON invitations (expires_at) WHERE status = 'pending';
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);
CREATE INDEX invitations_unsent_idx ON invitations (sent_at)
  WHERE status = 'pending' AND delivery IN ('queued', 'deferred');
