-- Webhooks of the platform: they tell the events of all organizations, or of those that a platform key reaches, in the order of
-- the feed (R90).

ALTER TABLE webhooks
  -- Null for the platform's.
  ALTER COLUMN organization_id DROP NOT NULL,
  -- The platform key that made it, for a webhook of the platform. It tells nothing that the key doesn't reach.
  ADD COLUMN platform_key_id uuid CONSTRAINT webhooks_platform_key_id_fkey REFERENCES platform_keys (id),
  -- Whether staff keep it, who made it or took it over. A webhook of the platform that they don't keep ends with its key.
  ADD COLUMN kept_by_staff boolean NOT NULL DEFAULT false,
  -- With `cursor`, the place of the last event that is dealt with: for an organization's webhook in its log, otherwise in the feed.
  ADD COLUMN cursor_feed_position bigint NOT NULL DEFAULT 0,
  ADD COLUMN cursor_log_id uuid;
UPDATE webhooks SET cursor_log_id = organization_id;
ALTER TABLE webhooks
  ALTER COLUMN cursor_log_id SET NOT NULL,
  ADD CONSTRAINT webhooks_kept_check CHECK ((organization_id IS NULL) = (kept_by_staff OR platform_key_id IS NOT NULL)),
  ADD CONSTRAINT webhooks_cursor_check CHECK (organization_id IS NULL OR cursor_feed_position = 0 AND cursor_log_id = organization_id);
-- The platform's, which are few.
CREATE INDEX webhooks_platform_idx ON webhooks (platform_key_id) WHERE organization_id IS NULL;

ALTER TABLE webhook_previous_secrets
  DROP CONSTRAINT webhook_previous_secrets_pkey,
  ALTER COLUMN organization_id DROP NOT NULL,
  ADD CONSTRAINT webhook_previous_secrets_pkey PRIMARY KEY (webhook_id, version),
  ADD CONSTRAINT webhook_previous_secrets_webhook_id_fkey FOREIGN KEY (webhook_id) REFERENCES webhooks (id) ON DELETE CASCADE;

ALTER TABLE webhook_deliveries
  -- The webhook's organization; null for the platform's.
  ALTER COLUMN organization_id DROP NOT NULL,
  -- The log that the event is in: an organization's, or the deployment's own.
  ADD COLUMN log_id uuid,
  -- The event's place in the feed, for the platform's webhooks. An organization's events are in the order of its log anyway.
  ADD COLUMN feed_position bigint NOT NULL DEFAULT 0;
UPDATE webhook_deliveries SET log_id = organization_id;
ALTER TABLE webhook_deliveries
  ALTER COLUMN log_id SET NOT NULL,
  DROP CONSTRAINT webhook_deliveries_sequence_key,
  ADD CONSTRAINT webhook_deliveries_place_key UNIQUE (webhook_id, feed_position, log_id, sequence),
  ADD CONSTRAINT webhook_deliveries_webhook_id_fkey FOREIGN KEY (webhook_id) REFERENCES webhooks (id) ON DELETE CASCADE;
