SELECT k.organization_id, k.user_id, count(*)
FROM unnest(:organizations, :users) AS k (organization_id, user_id)
JOIN team_members USING (organization_id, user_id)
GROUP BY k.organization_id, k.user_id
