-- The secrets that a webhook had before its current one, each until its own end: whoever rotates twice within a day ends none early.
CREATE TABLE webhook_previous_secrets (
  organization_id uuid NOT NULL,
  webhook_id uuid NOT NULL,
  -- The secret is derived from the webhook's id and this.
  version integer NOT NULL,
  -- Until when deliveries are signed with it too.
  ends_at timestamptz NOT NULL,
  CONSTRAINT webhook_previous_secrets_pkey PRIMARY KEY (organization_id, webhook_id, version),
  CONSTRAINT webhook_previous_secrets_webhook_fkey FOREIGN KEY (organization_id, webhook_id)
    REFERENCES webhooks (organization_id, id) ON DELETE CASCADE
);
INSERT INTO webhook_previous_secrets (organization_id, webhook_id, version, ends_at)
SELECT organization_id, id, secret_version - 1, secret_made_at + interval '24 hours'
FROM webhooks WHERE secret_version > 1 AND secret_made_at + interval '24 hours' > rollcall_now();
