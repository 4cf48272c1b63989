-- The list of an organization's members is read by index ranges, however long it is (R15). Its order and its search are by what
-- stands in users, so members keep a copy of that, which triggers keep true: no writer can forget it.

-- Nobody is renamed between the copy and the triggers that keep it.
LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE;

-- Both are trusted extensions: whoever may create in the database may create them.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;

ALTER TABLE members
  -- The name in lower case.
  ADD COLUMN sort_name text,
  -- Name and username in lower case, a line each: what members search.
  ADD COLUMN search_names text,
  -- The address: what owner and admins search too.
  ADD COLUMN search_email text;
UPDATE members m SET sort_name = lower(u.name), search_names = lower(u.name) || E'\n' || u.username, search_email = u.email
  FROM users u WHERE u.id = m.user_id;
-- What the deferred triggers of the update above wait for.
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE members
  ALTER COLUMN sort_name SET NOT NULL,
  ALTER COLUMN search_names SET NOT NULL;

-- A range of each index is the members of one status and role, in one order; a list merges the few ranges that it shows.
CREATE INDEX members_by_name_idx ON members (organization_id, status, role, sort_name, id);
CREATE INDEX members_by_joined_at_idx ON members (organization_id, status, role, joined_at, id);
CREATE INDEX members_by_role_idx ON members (organization_id, status, role, id);
CREATE INDEX members_search_idx ON members
  USING gin (organization_id, search_names gin_trgm_ops, search_email gin_trgm_ops);
DROP INDEX members_status_idx;

CREATE FUNCTION copy_user_to_member() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Locked, so that a name that is just changing is seen: its change finds this row only once it is committed.
  SELECT lower(name), lower(name) || E'\n' || username, email
    INTO NEW.sort_name, NEW.search_names, NEW.search_email
    FROM users WHERE id = NEW.user_id FOR SHARE;
  RETURN NEW;
END
$$;
CREATE TRIGGER members_copy_user BEFORE INSERT OR UPDATE OF user_id ON members
  FOR EACH ROW EXECUTE FUNCTION copy_user_to_member();

CREATE FUNCTION copy_user_to_members() RETURNS trigger LANGUAGE plpgsql AS $$
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
