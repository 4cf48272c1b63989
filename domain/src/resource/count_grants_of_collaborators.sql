SELECT k.organization_id, k.user_id,
  (SELECT count(*) FROM grants g
    WHERE g.organization_id = k.organization_id AND g.user_id = k.user_id AND g.outside AND {own_counts})
  + (SELECT count(*) FROM team_members t JOIN grants g ON g.team_id = t.team_id
    WHERE t.organization_id = k.organization_id AND t.user_id = k.user_id) AS count
FROM unnest(:organizations, :users) AS k (organization_id, user_id)
JOIN organizations o ON o.id = k.organization_id
LEFT JOIN members m ON m.organization_id = k.organization_id AND m.user_id = k.user_id
WHERE m.status IS DISTINCT FROM 'active'
