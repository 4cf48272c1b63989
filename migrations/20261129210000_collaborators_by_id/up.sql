-- Collaborators are listed in the order of their own ids, so that a cursor reveals nobody's account (R67).
CREATE INDEX grants_collaborators_idx ON grants (organization_id, collaborator_id(organization_id, user_id)) WHERE outside;
DROP INDEX team_members_outside_idx;
CREATE INDEX team_members_outside_idx ON team_members (team_id, collaborator_id(organization_id, user_id)) WHERE outside;
