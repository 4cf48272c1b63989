-- The same people, organizations and memberships as plain tables with foreign keys, for PostGraphile; and policies that let
-- the role bench_member see what its user belongs to, and invite where its user is an admin.

CREATE SCHEMA postgraphile;
SET search_path = postgraphile;

CREATE TABLE users AS SELECT id, username, name, email FROM public.users;
ALTER TABLE users ADD PRIMARY KEY (id), ADD UNIQUE (username), ALTER username SET NOT NULL, ALTER name SET NOT NULL;

CREATE TABLE organizations AS SELECT id, slug, name, created_at FROM public.organizations WHERE personal_user_id IS NULL;
ALTER TABLE organizations ADD PRIMARY KEY (id), ADD UNIQUE (slug), ALTER name SET NOT NULL;

CREATE TABLE members AS
  SELECT m.id, m.organization_id, m.user_id, m.role, m.joined_at
  FROM public.members m JOIN organizations o ON o.id = m.organization_id;
ALTER TABLE members ADD PRIMARY KEY (id), ADD UNIQUE (organization_id, user_id), ALTER role SET NOT NULL,
  ADD FOREIGN KEY (organization_id) REFERENCES organizations, ADD FOREIGN KEY (user_id) REFERENCES users;
CREATE INDEX ON members (organization_id, id);
CREATE INDEX ON members (user_id, organization_id);

CREATE TABLE invitations (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id uuid NOT NULL REFERENCES organizations,
  email text NOT NULL,
  role text NOT NULL,
  invited_by_id uuid NOT NULL REFERENCES users,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (organization_id, email)
);
CREATE INDEX ON invitations (invited_by_id);

CREATE FUNCTION bench_user_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT nullif(current_setting('bench.user_id', true), '')::uuid
$$;
CREATE FUNCTION bench_organization_ids() RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER AS $$
  SELECT organization_id FROM postgraphile.members WHERE user_id = postgraphile.bench_user_id()
$$;
CREATE FUNCTION bench_led_organization_ids() RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER AS $$
  SELECT organization_id FROM postgraphile.members WHERE user_id = postgraphile.bench_user_id() AND role IN ('owner', 'admin')
$$;
COMMENT ON FUNCTION bench_user_id() IS E'@omit';
COMMENT ON FUNCTION bench_organization_ids() IS E'@omit';
COMMENT ON FUNCTION bench_led_organization_ids() IS E'@omit';

DO $$ BEGIN CREATE ROLE bench_member; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
GRANT USAGE ON SCHEMA postgraphile TO bench_member;
GRANT SELECT ON users, organizations, members, invitations TO bench_member;
GRANT INSERT ON invitations TO bench_member;
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE members ENABLE ROW LEVEL SECURITY;
ALTER TABLE invitations ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_own_organizations ON organizations FOR SELECT TO bench_member
  USING (id IN (SELECT bench_organization_ids()));
CREATE POLICY of_own_organizations ON members FOR SELECT TO bench_member
  USING (organization_id IN (SELECT bench_organization_ids()));
CREATE POLICY of_own_organizations ON users FOR SELECT TO bench_member
  USING (id = bench_user_id() OR EXISTS (
    SELECT FROM members m WHERE m.user_id = users.id AND m.organization_id IN (SELECT bench_organization_ids())));
CREATE POLICY of_led_organizations ON invitations FOR SELECT TO bench_member
  USING (organization_id IN (SELECT bench_led_organization_ids()));
CREATE POLICY to_led_organizations ON invitations FOR INSERT TO bench_member
  WITH CHECK (invited_by_id = bench_user_id() AND organization_id IN (SELECT bench_led_organization_ids()));

RESET search_path;
ANALYZE;
