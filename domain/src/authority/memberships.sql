SELECT m.organization_id, m.user_id, m.id AS member_id, m.role, m.billable_activities, o.admin_powers,
  o.member_directory, o.personal_user_id IS NOT NULL AS personal
FROM unnest(:organization_ids, :user_ids) AS person (organization_id, user_id)
JOIN members m ON m.organization_id = person.organization_id AND m.user_id = person.user_id
JOIN organizations o ON o.id = m.organization_id
WHERE m.status = 'active' AND o.deleted_at IS NULL
