-- The plan that an organization has, and how many seats come with it (R64).
ALTER TABLE organizations
  ADD COLUMN plan text NOT NULL DEFAULT 'free',
  -- Null: as many as like.
  ADD COLUMN seat_limit integer CONSTRAINT organizations_seat_limit_check CHECK (seat_limit >= 1);
