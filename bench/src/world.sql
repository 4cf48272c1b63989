-- The data of a run. world.rs fills in the parameters in braces, and computes the same ids.

CREATE FUNCTION pg_temp.id(kind integer, number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
  SELECT (lpad(to_hex(1790000000000 + number), 12, '0') || '7' || lpad(to_hex(kind), 3, '0')
    || '8000' || lpad(to_hex(number), 12, '0'))::uuid
$$;

BEGIN;

-- The people of the organizations, then those outside, then those who are to join.
INSERT INTO users (id, email, folded_email, username, name, folded_name, created_at)
SELECT pg_temp.id(1, n), 'person' || n || '@bench.example', 'person' || n || '@bench.example', 'person-' || n,
  'Person ' || n, 'person ' || n, rollcall_now() - interval '30 days'
FROM generate_series(0, {accounts} - 1) n;

INSERT INTO organizations (id, personal_user_id, name, created_at)
SELECT pg_temp.id(2, n), pg_temp.id(1, n), 'Person ' || n, rollcall_now() - interval '30 days'
FROM generate_series(0, {accounts} - 1) n;

INSERT INTO organizations (id, name, slug, created_at)
SELECT pg_temp.id(3, n), 'Organization ' || n, 'organization-' || n, rollcall_now() - interval '30 days'
FROM generate_series(0, {organizations} - 1) n;

INSERT INTO members (id, organization_id, user_id, role, status, billable_activities, shared_apps, shared_projects, joined_at, joined_via)
SELECT pg_temp.id(4, n), pg_temp.id(2, n), pg_temp.id(1, n), 'owner', 'active', true, true, 'administer',
  rollcall_now() - interval '30 days', 'founder'
FROM generate_series(0, {accounts} - 1) n;

-- Everybody belongs to two organizations. In the first of the two, people with low numbers are the owner and the
-- admins.
INSERT INTO members (id, organization_id, user_id, role, status, billable_activities, shared_apps, shared_projects, joined_at, joined_via)
SELECT pg_temp.id(4, {accounts} + n), pg_temp.id(3, n % {organizations}), pg_temp.id(1, n),
  CASE WHEN n < {organizations} THEN 'owner' WHEN n / {organizations} IN (1, 3, 4, 5, 6, 7, 8) THEN 'admin' ELSE 'member' END,
  'active', true, true, 'contribute', rollcall_now() - interval '29 days',
  CASE WHEN n < {organizations} THEN 'founder' ELSE 'invitation' END
FROM generate_series(0, {people} - 1) n;
INSERT INTO members (id, organization_id, user_id, role, status, billable_activities, shared_apps, shared_projects, joined_at, joined_via)
SELECT pg_temp.id(4, 2 * {accounts} + n),
  pg_temp.id(3, (n + 1 + (n / {organizations}) % ({organizations} - 1)) % {organizations}), pg_temp.id(1, n),
  'member', 'active', true, true, 'contribute', rollcall_now() - interval '28 days', 'invitation'
FROM generate_series(0, {people} - 1) n;

INSERT INTO sessions (id, user_id, token_digest, created_at, last_seen_at, expires_at)
SELECT pg_temp.id(8, n), pg_temp.id(1, n), sha256(('rcs_bench' || n)::bytea), rollcall_now(), rollcall_now(),
  rollcall_now() + interval '20 days'
FROM generate_series(0, {accounts} - 1) n;

-- In each group of twenty resources, the first is a project that contains the next three. Every tenth resource is
-- visible to all members. The owners are members who are neither owner nor admin of the organization, nor in its team.
INSERT INTO resources (id, organization_id, kind, name, folded_name, owner_id, owned_since, created_by_id, visibility, size_bytes,
  container_id, created_at, updated_at)
SELECT pg_temp.id(6, n), pg_temp.id(3, n % {organizations}), kind, initcap(kind) || ' ' || n, kind || ' ' || n, owner,
  rollcall_now() - interval '20 days', owner, CASE place % 10 WHEN 9 THEN 'organization' ELSE 'private' END, 1000,
  CASE WHEN place % 20 BETWEEN 1 AND 3 THEN pg_temp.id(6, n - (place % 20) * {organizations}::bigint) END,
  rollcall_now() - interval '20 days', rollcall_now() - interval '20 days'
FROM (
  SELECT n, n / {organizations} AS place,
    (ARRAY['project', 'document', 'sample', 'volume', 'sample', 'document', 'source', 'machine'])[
      CASE (n / {organizations}) % 20 WHEN 0 THEN 1 ELSE 2 + ((n / {organizations}) % 20 - 1) % 7 END] AS kind,
    pg_temp.id(1, n % {organizations} + {organizations} * (20 + (n / {organizations}) % ({people} / {organizations} - 20))) AS owner
  FROM generate_series(0::bigint, {resources} - 1) n
) AS numbered;

INSERT INTO organization_storage (organization_id, used_bytes)
SELECT organization_id, sum(size_bytes) FROM resources GROUP BY organization_id;

-- In the organizations that requests are about, a hundred resources are shared with a team and another hundred with
-- somebody outside.
INSERT INTO teams (id, organization_id, name, folded_name, created_at)
SELECT pg_temp.id(5, n), pg_temp.id(3, n), 'Lab', 'lab', rollcall_now() - interval '25 days'
FROM generate_series(0, {asked} - 1) n;
INSERT INTO team_members (organization_id, team_id, user_id, added_at)
SELECT pg_temp.id(3, n), pg_temp.id(5, n), pg_temp.id(1, n + {organizations} * place), rollcall_now() - interval '25 days'
FROM generate_series(0, {asked} - 1) n, generate_series(2, 12, 2) place;
INSERT INTO grants (id, organization_id, resource_id, team_id, level, granted_by_id, created_at)
SELECT pg_temp.id(7, place * {asked} + n), pg_temp.id(3, n), pg_temp.id(6, n + {organizations}::bigint * place), pg_temp.id(5, n),
  'view', pg_temp.id(1, n), rollcall_now() - interval '15 days'
FROM generate_series(0, {asked} - 1) n, generate_series(0, 99) place;
INSERT INTO grants (id, organization_id, resource_id, user_id, level, granted_by_id, created_at)
SELECT pg_temp.id(7, place * {asked} + n), pg_temp.id(3, n), pg_temp.id(6, n + {organizations}::bigint * place),
  pg_temp.id(1, {people} + n), 'view', pg_temp.id(1, n), rollcall_now() - interval '15 days'
FROM generate_series(0, {asked} - 1) n, generate_series(100, 199) place;

SELECT count(audit_append((
  SELECT jsonb_agg(jsonb_build_object('organization_id', pg_temp.id(3, n), 'id', gen_random_uuid(), 'action', 'organization.member_joined',
    'actor_kind', 'user', 'actor_id', pg_temp.id(1, n + {organizations} * (event % 20)), 'target_id', null,
    'summary', 'joined as a member', 'metadata', '{}'::jsonb))
  FROM generate_series(1, 300) event))) FROM generate_series(0, {asked} - 1) n;

COMMIT;
