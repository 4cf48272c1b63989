UPDATE organization_storage s SET used_bytes = s.used_bytes + :bytes
FROM organizations o
WHERE s.organization_id = :organization_id AND o.id = s.organization_id
RETURNING o.storage_limit_bytes IS NULL OR s.used_bytes <= o.storage_limit_bytes AS enough
