-- Those that somebody had delivered again: few at a time, however long the log of a webhook's deliveries is.
CREATE INDEX webhook_deliveries_queued_idx ON webhook_deliveries (webhook_id) WHERE status = 'queued';
