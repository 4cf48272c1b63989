SELECT s.organization_id FROM organization_storage s JOIN organizations o ON o.id = s.organization_id
WHERE s.organization_id > coalesce(:after, '00000000-0000-0000-0000-000000000000') AND s.used_bytes > 0
  AND o.deleted_at IS NULL AND o.created_at < (:day + 1)::timestamp AT TIME ZONE 'UTC'
ORDER BY s.organization_id LIMIT :most
