ALTER TABLE organizations DROP COLUMN plan, DROP COLUMN seat_limit;
