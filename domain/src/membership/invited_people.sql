-- A person who is invited both by username and by address counts once. Accounts are looked up one by one, so that the
-- accounts of the whole deployment are never read.
SELECT
  invitations.organization_id,
  count(DISTINCT coalesce(
    invitations.user_id::text,
    (SELECT u.id::text FROM users u WHERE u.email = invitations.email),
    invitations.email)) AS people
FROM invitations
WHERE invitations.organization_id = ANY (:organizations) AND {open}
GROUP BY invitations.organization_id
