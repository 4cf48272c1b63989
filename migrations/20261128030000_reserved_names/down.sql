DROP TRIGGER organizations_slug_unreserved ON organizations;
DROP TRIGGER users_username_unreserved ON users;
DROP FUNCTION require_unreserved_name();
DROP TABLE reserved_names;
