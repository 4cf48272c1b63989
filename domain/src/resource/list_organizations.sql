-- The organizations that may hold something the user can reach.
SELECT organization_id FROM members WHERE user_id = :user_id AND status = 'active'
UNION
SELECT organization_id FROM grants WHERE user_id = :user_id
UNION
SELECT g.organization_id FROM members m JOIN grants g ON g.grantee_organization_id = m.organization_id
WHERE m.user_id = :user_id AND m.status = 'active'
UNION
SELECT organization_id FROM resources WHERE owner_id = :user_id AND moving
