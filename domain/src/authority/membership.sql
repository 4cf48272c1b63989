SELECT m.id AS member_id, m.role, m.billable_activities, o.admin_powers, o.member_directory,
  o.personal_user_id IS NOT NULL AS personal
FROM members m JOIN organizations o ON o.id = m.organization_id
WHERE m.organization_id = :organization_id AND m.user_id = :user_id AND m.status = 'active' AND o.deleted_at IS NULL
