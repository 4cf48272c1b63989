ALTER TABLE usage_entries DROP COLUMN of_any_reporter;
