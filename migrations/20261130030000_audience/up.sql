-- The active members of an organization whose role and permissions let them reach something, in the order of lists of
-- who reaches a resource.
CREATE INDEX members_reach_idx ON members (organization_id, role, shared_projects, shared_apps, user_id) WHERE status = 'active';
