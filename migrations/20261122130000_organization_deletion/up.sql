-- Deletion of organizations, which staff can take back for 30 days (R48).

ALTER TABLE organizations
  -- The owner who deleted it, and who sees it until it is removed for good.
  ADD COLUMN deleted_by_id uuid CONSTRAINT organizations_deleted_by_id_fkey REFERENCES users (id),
  ADD CONSTRAINT organizations_deleted_by_someone CHECK ((deleted_at IS NULL) = (deleted_by_id IS NULL));
-- What is to be removed for good.
CREATE INDEX organizations_deleted_at_idx ON organizations (deleted_at) WHERE deleted_at IS NOT NULL;
