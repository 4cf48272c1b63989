DROP TRIGGER users_copy_to_members ON users;
DROP TRIGGER members_copy_user ON members;
DROP FUNCTION copy_user_to_members();
DROP FUNCTION copy_user_to_member();
CREATE INDEX members_status_idx ON members (organization_id, status, joined_at, id);
DROP INDEX members_by_name_idx, members_by_joined_at_idx, members_by_role_idx, members_search_idx;
ALTER TABLE members DROP COLUMN sort_name, DROP COLUMN search_names, DROP COLUMN search_email;
DROP EXTENSION btree_gin;
DROP EXTENSION pg_trgm;
