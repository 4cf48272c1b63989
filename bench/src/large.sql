-- One organization with {count} members and as many resources, of which a hundred are shared with a team. pg_temp.id is
-- created by world.sql.

BEGIN;

INSERT INTO organizations (id, name, slug, created_at)
VALUES (pg_temp.id(3, {organization}), 'Organization {organization}', 'organization-{organization}', rollcall_now() - interval '30 days');

INSERT INTO members (id, organization_id, user_id, role, status, billable_activities, shared_apps, shared_projects, joined_at, joined_via)
SELECT pg_temp.id(4, 4 * {accounts}::bigint + {account} + n), pg_temp.id(3, {organization}), pg_temp.id(1, {account} + n),
  CASE n WHEN 0 THEN 'owner' ELSE 'member' END, 'active', true, true, 'contribute', rollcall_now() - interval '29 days',
  CASE n WHEN 0 THEN 'founder' ELSE 'invitation' END
FROM generate_series(0, {count} - 1) n;

INSERT INTO resources (id, organization_id, kind, name, folded_name, owner_id, owned_since, created_by_id, visibility, size_bytes,
  created_at, updated_at)
SELECT pg_temp.id(6, {resource} + n), pg_temp.id(3, {organization}), kind, initcap(kind) || ' ' || n, kind || ' ' || n,
  pg_temp.id(1, {account} + 2 + n % ({count} - 2)), rollcall_now() - interval '20 days', pg_temp.id(1, {account} + 2 + n % ({count} - 2)),
  CASE n % 10 WHEN 9 THEN 'organization' ELSE 'private' END, 1000, rollcall_now() - interval '20 days', rollcall_now() - interval '20 days'
FROM (
  SELECT n, (ARRAY['project', 'document', 'sample', 'volume', 'sample', 'document', 'source', 'machine'])[1 + n % 8] AS kind
  FROM generate_series(0, {count} - 1) n
) AS numbered;

INSERT INTO organization_storage (organization_id, used_bytes) VALUES (pg_temp.id(3, {organization}), 1000 * {count}::bigint);

INSERT INTO teams (id, organization_id, name, folded_name, created_at)
VALUES (pg_temp.id(5, {organization}), pg_temp.id(3, {organization}), 'Lab', 'lab', rollcall_now() - interval '25 days');
INSERT INTO team_members (organization_id, team_id, user_id, added_at)
VALUES (pg_temp.id(3, {organization}), pg_temp.id(5, {organization}), pg_temp.id(1, {account} + 1), rollcall_now() - interval '25 days');
INSERT INTO grants (id, organization_id, resource_id, team_id, level, granted_by_id, created_at)
SELECT gen_random_uuid(), pg_temp.id(3, {organization}), pg_temp.id(6, {resource} + n), pg_temp.id(5, {organization}), 'view',
  pg_temp.id(1, {account}), rollcall_now() - interval '15 days'
FROM generate_series(0, 99) n;

COMMIT;
