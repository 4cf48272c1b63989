-- What webhooks of the platform may tell: whether their platform key has ended, unless staff keep the webhook, and the only
-- organizations that the key reaches, or null for all.
SELECT w.id,
  NOT w.kept_by_staff AND coalesce(k.revoked_at IS NOT NULL OR k.expires_at <= rollcall_now(), false) AS has_ended,
  CASE WHEN k.limited THEN ARRAY(
    SELECT o.organization_id FROM platform_key_organizations o WHERE o.platform_key_id = k.id ORDER BY o.organization_id
  ) END AS organization_ids
FROM webhooks w LEFT JOIN platform_keys k ON k.id = w.platform_key_id
WHERE w.id = ANY (:ids)
