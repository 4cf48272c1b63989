SELECT k.team_id,
  (SELECT count(*) FROM team_members tm {seen}) + (SELECT count(*) FROM team_members tm {seen_outside}) AS count
FROM unnest(:teams) AS k (team_id)
