-- A version that knows no webhooks of the platform can't keep them.
DELETE FROM webhooks WHERE organization_id IS NULL;

ALTER TABLE webhook_deliveries
  DROP CONSTRAINT webhook_deliveries_webhook_id_fkey,
  DROP CONSTRAINT webhook_deliveries_place_key,
  ADD CONSTRAINT webhook_deliveries_sequence_key UNIQUE (webhook_id, sequence),
  DROP COLUMN feed_position,
  DROP COLUMN log_id,
  ALTER COLUMN organization_id SET NOT NULL;

ALTER TABLE webhook_previous_secrets
  DROP CONSTRAINT webhook_previous_secrets_webhook_id_fkey,
  DROP CONSTRAINT webhook_previous_secrets_pkey,
  ALTER COLUMN organization_id SET NOT NULL,
  ADD CONSTRAINT webhook_previous_secrets_pkey PRIMARY KEY (organization_id, webhook_id, version);

DROP INDEX webhooks_platform_idx;
ALTER TABLE webhooks
  DROP CONSTRAINT webhooks_cursor_check,
  DROP CONSTRAINT webhooks_kept_check,
  DROP COLUMN cursor_log_id,
  DROP COLUMN cursor_feed_position,
  DROP COLUMN kept_by_staff,
  DROP COLUMN platform_key_id,
  ALTER COLUMN organization_id SET NOT NULL;
