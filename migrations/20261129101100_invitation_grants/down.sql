DROP TABLE invitation_grants;
ALTER TABLE invitations DROP COLUMN message;
