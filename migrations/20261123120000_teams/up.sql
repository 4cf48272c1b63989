-- Teams: named groups of an organization's members (R66).

CREATE TABLE teams (
  id uuid CONSTRAINT teams_pkey PRIMARY KEY,
  organization_id uuid NOT NULL CONSTRAINT teams_organization_id_fkey REFERENCES organizations (id),
  name text NOT NULL,
  description text,
  avatar_url text,
  created_at timestamptz NOT NULL,
  CONSTRAINT teams_organization_key UNIQUE (organization_id, id)
);
-- Names are told apart without case.
CREATE UNIQUE INDEX teams_name_key ON teams (organization_id, lower(name));

CREATE TABLE team_members (
  organization_id uuid NOT NULL,
  team_id uuid NOT NULL,
  user_id uuid NOT NULL,
  added_at timestamptz NOT NULL,
  CONSTRAINT team_members_pkey PRIMARY KEY (team_id, user_id),
  CONSTRAINT team_members_team_fkey FOREIGN KEY (organization_id, team_id) REFERENCES teams (organization_id, id) ON DELETE CASCADE,
  CONSTRAINT team_members_member_fkey FOREIGN KEY (organization_id, user_id) REFERENCES members (organization_id, user_id)
);
CREATE INDEX team_members_user_idx ON team_members (organization_id, user_id, team_id);

-- The teams that an invitation leads into.
CREATE TABLE invitation_teams (
  organization_id uuid NOT NULL,
  invitation_id uuid NOT NULL,
  team_id uuid NOT NULL,
  CONSTRAINT invitation_teams_pkey PRIMARY KEY (invitation_id, team_id),
  CONSTRAINT invitation_teams_invitation_fkey FOREIGN KEY (invitation_id, organization_id)
    REFERENCES invitations (id, organization_id) ON DELETE CASCADE,
  CONSTRAINT invitation_teams_team_fkey FOREIGN KEY (organization_id, team_id) REFERENCES teams (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX invitation_teams_team_idx ON invitation_teams (organization_id, team_id);

-- A leaver leaves all teams (R42), and what they own beside projects and volumes passes on (R35).
ALTER TABLE departure_steps DROP CONSTRAINT departure_steps_step_check,
  ADD CONSTRAINT departure_steps_step_check CHECK (step IN ('revoke_access', 'revoke_issued', 'transfer_projects',
    'transfer_volumes', 'transfer_others', 'leave_teams', 'notify'));
ALTER TABLE resources DROP CONSTRAINT resources_kind_check,
  ADD CONSTRAINT resources_kind_check CHECK (kind IN ('project', 'volume', 'machine'));
