SELECT w.id FROM webhooks w
JOIN audit_heads h ON h.organization_id = w.organization_id
JOIN organizations o ON o.id = w.organization_id
WHERE w.enabled AND w.cursor < h.sequence AND o.deleted_at IS NULL
  AND NOT EXISTS (SELECT FROM users u WHERE u.id = o.personal_user_id AND u.suspended_at IS NOT NULL)
  AND NOT EXISTS (
    SELECT FROM jobs WHERE kind = :kind AND status IN ('waiting', 'running') AND payload ->> 'webhook_id' = w.id::text)
ORDER BY w.id LIMIT :most
