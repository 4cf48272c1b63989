-- What is granted together with the membership that an invitation gives, and the inviter's own words (R80).

ALTER TABLE invitations ADD COLUMN message text;

CREATE TABLE invitation_grants (
  organization_id uuid NOT NULL,
  invitation_id uuid NOT NULL,
  -- The position in the invitation.
  number integer NOT NULL,
  -- Null once the resource is deleted. Not a composite key: a project may have moved to another organization since, and is then not granted.
  resource_id uuid CONSTRAINT invitation_grants_resource_id_fkey REFERENCES resources (id) ON DELETE SET NULL,
  level text NOT NULL CONSTRAINT invitation_grants_level_check CHECK (level IN ('view', 'upload', 'contribute', 'administer')),
  CONSTRAINT invitation_grants_pkey PRIMARY KEY (invitation_id, number),
  CONSTRAINT invitation_grants_invitation_fkey FOREIGN KEY (invitation_id, organization_id)
    REFERENCES invitations (id, organization_id) ON DELETE CASCADE
);
CREATE INDEX invitation_grants_organization_idx ON invitation_grants (organization_id);
CREATE INDEX invitation_grants_resource_idx ON invitation_grants (resource_id) WHERE resource_id IS NOT NULL;
