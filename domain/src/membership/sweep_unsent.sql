WITH pending AS (
  SELECT payload ->> 'invitation_id' AS id, (payload ->> 'token_version')::integer AS version
  FROM jobs WHERE queue = :queue AND kind = :kind AND status IN ('waiting', 'running')
), unsent AS (
  SELECT id FROM invitations i
  WHERE status = 'pending' AND delivery IN ('queued', 'deferred') AND sent_at < rollcall_now() - make_interval(secs => :seconds)
    AND NOT EXISTS (SELECT FROM pending p WHERE p.id = i.id::text AND p.version = i.token_version)
  LIMIT :most FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE invitations SET delivery = 'failed', delivery_error = :error WHERE id IN (SELECT id FROM unsent)
