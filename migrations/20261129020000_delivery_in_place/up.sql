-- Each invitation's email changes its delivery. As long as no index depends on that column, and there is room on the page, PostgreSQL
-- changes the row in place, without writing to all of the table's indexes.
DROP INDEX invitations_unsent_idx;
CREATE INDEX invitations_sent_at_idx ON invitations (sent_at) WHERE status = 'pending';
ALTER TABLE invitations SET (fillfactor = 85);
