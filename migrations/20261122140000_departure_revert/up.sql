-- Reverting departures (R45).

ALTER TABLE resource_moves
  ADD COLUMN reverted_at timestamptz,
  -- Why a revert left it where it is.
  ADD COLUMN kept_because text,
  ADD CONSTRAINT resource_moves_one_fate CHECK (reverted_at IS NULL OR kept_because IS NULL);
-- What a revert has still to look at.
CREATE INDEX resource_moves_to_revert_idx ON resource_moves (departure_id, id)
  WHERE reverted_at IS NULL AND kept_because IS NULL;
