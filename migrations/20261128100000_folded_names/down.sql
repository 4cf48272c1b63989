DROP INDEX resources_search_idx;
CREATE INDEX resources_search_idx ON resources USING gin (organization_id, lower(name) gin_trgm_ops);
ALTER TABLE resources DROP COLUMN folded_name;

DROP INDEX teams_name_key;
CREATE UNIQUE INDEX teams_name_key ON teams (organization_id, lower(name));
ALTER TABLE teams DROP COLUMN folded_name;

DROP TRIGGER users_copy_to_members ON users;
CREATE OR REPLACE FUNCTION copy_user_to_member() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Locked, so that a name that is just changing is seen: its change finds this row only once it is committed.
  SELECT lower(name), lower(name) || E'\n' || username, email
    INTO NEW.sort_name, NEW.search_names, NEW.search_email
    FROM users WHERE id = NEW.user_id FOR SHARE;
  RETURN NEW;
END
$$;
CREATE OR REPLACE FUNCTION copy_user_to_members() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE members
    SET sort_name = lower(NEW.name), search_names = lower(NEW.name) || E'\n' || NEW.username, search_email = NEW.email
    WHERE user_id = NEW.id;
  RETURN NULL;
END
$$;
CREATE TRIGGER users_copy_to_members AFTER UPDATE OF name, username, email ON users
  FOR EACH ROW WHEN ((OLD.name, OLD.username, OLD.email) IS DISTINCT FROM (NEW.name, NEW.username, NEW.email))
  EXECUTE FUNCTION copy_user_to_members();
UPDATE members m SET sort_name = lower(u.name), search_names = lower(u.name) || E'\n' || u.username, search_email = u.email
  FROM users u WHERE u.id = m.user_id;
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE users DROP COLUMN folded_name, DROP COLUMN folded_email;

DROP TABLE text_forms;
