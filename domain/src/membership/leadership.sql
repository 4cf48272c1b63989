SELECT leader.*
FROM unnest(:organizations) AS organization (id)
CROSS JOIN unnest(:roles) WITH ORDINALITY AS rank (role, number)
CROSS JOIN LATERAL (
  SELECT {columns} FROM members m
  WHERE m.organization_id = organization.id AND m.status = 'active' AND m.role = rank.role
  ORDER BY m.joined_at, m.id LIMIT :most - rank.number + 1
) leader
ORDER BY leader.organization_id, rank.number, leader.joined_at, leader.id
