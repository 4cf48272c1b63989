-- Names and addresses are found, and unlike each other, by a form that Rollcall makes of them (domain/src/base/text/unicode.rs), since what the
-- database makes of a letter depends on its locale. Here ASCII gets the right form; what else is stored gets it from Rollcall, which
-- `rollcall migrate` lets do so when its migrations are through, and which says in text_forms that it has.
--
-- Processes of the version before know nothing of the new columns: they are stopped first.

-- By which version of that form everything is stored; 0: not yet.
CREATE TABLE text_forms (
  only_row boolean CONSTRAINT text_forms_pkey PRIMARY KEY DEFAULT true CONSTRAINT text_forms_only_row_check CHECK (only_row),
  version integer NOT NULL
);
INSERT INTO text_forms (version) VALUES (0);

LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE;
ALTER TABLE users
  ADD COLUMN folded_name text,
  ADD COLUMN folded_email text;
UPDATE users SET folded_name = lower(name COLLATE "C"), folded_email = email;
ALTER TABLE users ALTER COLUMN folded_name SET NOT NULL;

-- Members carry them on.
CREATE OR REPLACE FUNCTION copy_user_to_member() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Locked, so that a name that is just changing is seen: its change finds this row only once it is committed.
  SELECT folded_name, folded_name || E'\n' || username, folded_email
    INTO NEW.sort_name, NEW.search_names, NEW.search_email
    FROM users WHERE id = NEW.user_id FOR SHARE;
  RETURN NEW;
END
$$;
CREATE OR REPLACE FUNCTION copy_user_to_members() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE members
    SET sort_name = NEW.folded_name, search_names = NEW.folded_name || E'\n' || NEW.username, search_email = NEW.folded_email
    WHERE user_id = NEW.id;
  RETURN NULL;
END
$$;
DROP TRIGGER users_copy_to_members ON users;
CREATE TRIGGER users_copy_to_members AFTER UPDATE OF folded_name, username, folded_email ON users
  FOR EACH ROW WHEN ((OLD.folded_name, OLD.username, OLD.folded_email) IS DISTINCT FROM (NEW.folded_name, NEW.username, NEW.folded_email))
  EXECUTE FUNCTION copy_user_to_members();
UPDATE members m SET sort_name = u.folded_name, search_names = u.folded_name || E'\n' || u.username, search_email = u.folded_email
  FROM users u WHERE u.id = m.user_id
  AND (m.sort_name, m.search_names, m.search_email)
    IS DISTINCT FROM (u.folded_name, u.folded_name || E'\n' || u.username, u.folded_email);
-- What the deferred triggers of the update above wait for.
SET CONSTRAINTS ALL IMMEDIATE;

ALTER TABLE teams ADD COLUMN folded_name text;
UPDATE teams SET folded_name = lower(name COLLATE "C");
ALTER TABLE teams ALTER COLUMN folded_name SET NOT NULL;
DROP INDEX teams_name_key;
CREATE UNIQUE INDEX teams_name_key ON teams (organization_id, folded_name);

ALTER TABLE resources ADD COLUMN folded_name text;
UPDATE resources SET folded_name = lower(name COLLATE "C");
ALTER TABLE resources ALTER COLUMN folded_name SET NOT NULL;
DROP INDEX resources_search_idx;
CREATE INDEX resources_search_idx ON resources USING gin (organization_id, folded_name gin_trgm_ops);
