-- Each check that names a resource that is there, in their order, with the account if that is there, too.
SELECT q.ordinal, u.id AS user_id, r.id AS resource_id, r.organization_id, coalesce(access.rank, 0) AS rank,
  coalesce(h.sequence, 0) AS revision, {columns}
FROM unnest(:user_ids, :user_external_ids, :emails, :usernames, :resource_ids, :kinds, :external_ids) WITH ORDINALITY
  AS q (user_id, user_external_id, email, username, resource_id, kind, external_id, ordinal)
CROSS JOIN LATERAL (
  SELECT coalesce(
      q.user_id,
      (SELECT n.id FROM users n WHERE n.external_id = q.user_external_id),
      (SELECT n.id FROM users n WHERE n.email = q.email),
      (SELECT n.id FROM users n WHERE n.username = q.username)) AS user_id,
    coalesce(
      q.resource_id,
      (SELECT n.id FROM resources n WHERE n.external_id = q.external_id AND n.kind = q.kind)) AS resource_id
  OFFSET 0
) named
JOIN resources r ON r.id = named.resource_id
JOIN organizations o ON o.id = r.organization_id AND o.deleted_at IS NULL
LEFT JOIN users u ON u.id = named.user_id AND u.deleted_at IS NULL
LEFT JOIN audit_heads h ON h.organization_id = r.organization_id
LEFT JOIN {access} ON true{ways}
ORDER BY q.ordinal
