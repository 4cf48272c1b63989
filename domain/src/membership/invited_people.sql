-- Who is invited by username and by address is one person. Accounts are looked up one by one, and never all of the deployment's read.
SELECT
  invitations.organization_id,
  count(DISTINCT coalesce(
    invitations.user_id::text,
    (SELECT u.id::text FROM users u WHERE u.email = invitations.email),
    invitations.email)) AS people
FROM invitations
WHERE invitations.organization_id = ANY (:organizations) AND {open}
GROUP BY invitations.organization_id
