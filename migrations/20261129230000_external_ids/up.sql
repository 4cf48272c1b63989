-- What a platform attaches to accounts, organizations, members, teams and resources: its own ids, its own nouns, and its own data
-- (R87). Only platform keys write it.

ALTER TABLE users ADD COLUMN external_id text, ADD COLUMN metadata jsonb;
ALTER TABLE organizations ADD COLUMN external_id text, ADD COLUMN metadata jsonb;
ALTER TABLE members ADD COLUMN metadata jsonb;
ALTER TABLE teams ADD COLUMN external_id text, ADD COLUMN metadata jsonb;
ALTER TABLE resources ADD COLUMN external_id text, ADD COLUMN subtype text, ADD COLUMN metadata jsonb;

CREATE UNIQUE INDEX users_external_id_key ON users (external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX organizations_external_id_key ON organizations (external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX teams_external_id_key ON teams (organization_id, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX resources_external_id_key ON resources (external_id, kind) WHERE external_id IS NOT NULL;
