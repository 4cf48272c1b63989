-- What belongs to an organization is found by it, whatever has become of that: whoever removes an organization for good, or a member with
-- what refers to them, doesn't read the tables of everybody. The conditions that these indexes had left some rows out.

DROP INDEX grants_member_idx;
CREATE INDEX grants_member_idx ON grants (organization_id, user_id, id);
DROP INDEX share_links_creator_idx;
CREATE INDEX share_links_creator_idx ON share_links (organization_id, created_by_id);
DROP INDEX api_keys_member_idx;
CREATE INDEX api_keys_member_idx ON api_keys (organization_id, user_id);
DROP INDEX project_transfers_organization_idx;
CREATE INDEX project_transfers_organization_idx ON project_transfers (organization_id, offered_by_id);
CREATE INDEX resource_moves_organization_idx ON resource_moves (organization_id);
-- What somebody receives, while it moves to them.
CREATE INDEX resources_moving_idx ON resources (owner_id) WHERE moving;
-- Whose offers end with their account.
CREATE INDEX project_transfers_offered_by_idx ON project_transfers (offered_by_id) WHERE status = 'offered';
