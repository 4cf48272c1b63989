-- Who pays for each of the accounts by default: an organization that isn't deleted, or else their personal one. An organization's
-- own services know only those who are or were in it, or with whom something of it is shared.
SELECT u.id, coalesce(d.id, p.id) AS default_bill_to_id
FROM users u
JOIN organizations p ON p.personal_user_id = u.id
LEFT JOIN organizations d ON d.id = u.default_bill_to_id AND d.deleted_at IS NULL
WHERE u.id = ANY (:users) AND u.deleted_at IS NULL
  AND (:within IS NULL
    OR EXISTS (SELECT FROM members m WHERE m.organization_id = ANY (:within) AND m.user_id = u.id)
    OR EXISTS (SELECT FROM grants g WHERE g.organization_id = ANY (:within) AND g.user_id = u.id))
