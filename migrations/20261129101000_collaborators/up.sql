-- Collaborators: people who reach some of an organization's resources without being members (R67). Whether somebody is one follows from the
-- grants to them. Teams hold collaborators as well as members (R81).

ALTER TABLE team_members DROP CONSTRAINT team_members_member_fkey,
  ADD CONSTRAINT team_members_user_fkey FOREIGN KEY (user_id) REFERENCES users (id),
  -- Whether the person was added as a collaborator. They may be a member by now, but nobody else in the team is none.
  ADD COLUMN outside boolean NOT NULL DEFAULT false;
CREATE INDEX team_members_outside_idx ON team_members (team_id, user_id) WHERE outside;

ALTER TABLE grants
  -- Whether the person was no active member when the grant was made or last changed. Of all grants, only these can make somebody a
  -- collaborator: all that were made to a member become dormant when the membership ends.
  ADD COLUMN outside boolean NOT NULL DEFAULT false;

-- A trigger writes the column, so that no writer can forget it. The membership stays as it is until the transaction ends.
CREATE FUNCTION grants_set_outside() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  current_status text;
BEGIN
  IF NEW.user_id IS NOT NULL THEN
    SELECT status INTO current_status FROM members
      WHERE organization_id = NEW.organization_id AND user_id = NEW.user_id FOR SHARE;
    NEW.outside := current_status IS DISTINCT FROM 'active';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER grants_outside BEFORE INSERT OR UPDATE OF position ON grants
  FOR EACH ROW EXECUTE FUNCTION grants_set_outside();

UPDATE grants g SET outside = true WHERE g.user_id IS NOT NULL AND NOT EXISTS (
  SELECT FROM members m WHERE m.organization_id = g.organization_id AND m.user_id = g.user_id
    AND (m.status = 'active' OR g.position <= m.ended_at_position));

-- The list of collaborators goes from person to person here.
CREATE INDEX grants_outside_idx ON grants (organization_id, user_id, id) WHERE outside;
-- What a team was granted, in the order of lists.
CREATE INDEX grants_team_idx ON grants (team_id, id) WHERE team_id IS NOT NULL;

-- A collaborator's id is made of the organization's and the person's, so there is no row that could be missing or left over.
CREATE FUNCTION collaborator_id(organization uuid, account uuid) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT substr(encode(sha256(uuid_send(organization) || uuid_send(account)), 'hex'), 1, 32)::uuid
$$;
CREATE INDEX grants_collaborator_idx ON grants (collaborator_id(organization_id, user_id)) WHERE outside;
