-- Usernames and slugs that were given up stay their owner's for a time, so that whoever still uses one reaches nobody else.
CREATE TABLE reserved_names (
  kind text NOT NULL CONSTRAINT reserved_names_kind_check CHECK (kind IN ('username', 'slug')),
  name text NOT NULL CONSTRAINT reserved_names_lower CHECK (name = lower(name)),
  -- The account or organization that may take it back; null where that is gone.
  holder_id uuid,
  -- Until when; null: for good.
  reserved_until timestamptz,
  CONSTRAINT reserved_names_pkey PRIMARY KEY (kind, name)
);
CREATE INDEX reserved_names_holder_id_idx ON reserved_names (holder_id);
CREATE INDEX reserved_names_reserved_until_idx ON reserved_names (reserved_until);

-- Who takes a name at the moment at which another gives it up has waited for that one's commit by the unique index, and looked for
-- reservations before. This looks again; the transaction is then run once more, and finds the reservation by itself.
CREATE FUNCTION require_unreserved_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM reserved_names WHERE kind = TG_ARGV[0] AND name = to_jsonb(NEW) ->> TG_ARGV[0]
     AND holder_id IS DISTINCT FROM NEW.id AND (reserved_until IS NULL OR reserved_until > rollcall_now())) THEN
    RAISE EXCEPTION 'this % is reserved for another', TG_ARGV[0] USING ERRCODE = 'serialization_failure';
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER users_username_unreserved AFTER INSERT OR UPDATE OF username ON users
  FOR EACH ROW EXECUTE FUNCTION require_unreserved_name('username');
CREATE TRIGGER organizations_slug_unreserved AFTER INSERT OR UPDATE OF slug ON organizations
  FOR EACH ROW WHEN (NEW.slug IS NOT NULL) EXECUTE FUNCTION require_unreserved_name('slug');
