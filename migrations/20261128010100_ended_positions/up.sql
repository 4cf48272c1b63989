-- What people issue ends with them by the commit that ends their membership, or their right to issue it, however much there is: it has a
-- position in the sequence from which ends take theirs, as grants do. Marking it is the worker's.

ALTER TABLE invitations ADD COLUMN position bigint NOT NULL DEFAULT nextval('grant_positions');
ALTER TABLE join_codes ADD COLUMN position bigint NOT NULL DEFAULT nextval('grant_positions');
ALTER TABLE grant_invitations ADD COLUMN position bigint NOT NULL DEFAULT nextval('grant_positions');
ALTER TABLE share_links ADD COLUMN position bigint NOT NULL DEFAULT nextval('grant_positions');
ALTER TABLE project_transfers ADD COLUMN position bigint NOT NULL DEFAULT nextval('grant_positions');

ALTER TABLE members
  -- What the member issued up to here ended with a departure. A departure that is taken back doesn't bring it back.
  ADD COLUMN issued_ended_position bigint NOT NULL DEFAULT 0,
  -- Invitations and join codes up to here ended with a departure or a demotion.
  ADD COLUMN invites_ended_position bigint NOT NULL DEFAULT 0,
  -- Likewise those for ADMIN.
  ADD COLUMN admin_invites_ended_position bigint NOT NULL DEFAULT 0;
-- Offers from and to the organization up to here ended with its deletion.
ALTER TABLE organizations ADD COLUMN offers_ended_position bigint NOT NULL DEFAULT 0;
