DROP INDEX resources_uploader_idx;
DROP INDEX resources_loose_samples_idx;
ALTER TABLE departures DROP COLUMN samples_project_id;
ALTER TABLE resource_moves DROP COLUMN container_id, DROP COLUMN visibility;
ALTER TABLE departure_steps DROP COLUMN reached_kind, DROP COLUMN reached_id;
DELETE FROM departure_steps WHERE step IN ('collect_samples', 'share_documents', 'remove_grants');
ALTER TABLE departure_steps DROP CONSTRAINT departure_steps_step_check,
  ADD CONSTRAINT departure_steps_step_check CHECK (step IN ('revoke_access', 'revoke_issued', 'transfer_projects',
    'transfer_volumes', 'transfer_others', 'leave_teams', 'notify'));
DROP TABLE project_transfers;
DROP INDEX api_keys_service_idx;
DELETE FROM api_keys WHERE service;
ALTER TABLE api_keys DROP COLUMN service;
DROP TABLE credit_purchases;
ALTER TABLE organizations DROP COLUMN storage_limit_bytes, DROP COLUMN run_limit, DROP COLUMN billing_account_name,
  DROP COLUMN billing_contact_email, DROP COLUMN billing_reference;
DROP TABLE share_links;
DROP TABLE grant_invitations;
DROP TABLE grants;
ALTER TABLE members DROP COLUMN ended_at_position;
DROP SEQUENCE grant_positions;
DROP FUNCTION access_rank(text);
DROP TABLE organization_storage;
DROP TABLE collection_items;
UPDATE resource_moves SET resource_id = NULL WHERE resource_kind NOT IN ('project', 'volume', 'machine');
DROP INDEX resources_search_idx;
DROP INDEX resources_visible_idx;
DROP INDEX resources_container_idx;
ALTER TABLE resources DROP CONSTRAINT resources_container_fkey, DROP COLUMN container_id, DROP COLUMN published_at, DROP COLUMN moving;
DELETE FROM resources WHERE kind NOT IN ('project', 'volume', 'machine');
ALTER TABLE resources DROP CONSTRAINT resources_kind_check,
  ADD CONSTRAINT resources_kind_check CHECK (kind IN ('project', 'volume', 'machine'));
CREATE INDEX resources_organization_id_idx ON resources (organization_id, id);
CREATE INDEX resources_owner_id_idx ON resources (owner_id, id);
CREATE INDEX resources_visible_idx ON resources (organization_id, id) WHERE visibility = 'organization';
