DROP INDEX team_members_outside_idx;
CREATE INDEX team_members_outside_idx ON team_members (team_id, user_id) WHERE outside;
DROP INDEX grants_collaborators_idx;
