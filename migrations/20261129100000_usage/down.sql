DROP TABLE upgrade_requests, metered_days, usage_totals, organization_credits, usage_entries, run_days, run_counts, run_limits;
DROP TRIGGER credit_purchases_add_up ON credit_purchases;
DROP TRIGGER runs_count_new ON runs;
DROP TRIGGER runs_count_changed ON runs;
DROP FUNCTION add_up_purchases, keep_usage_entries, add_up_usage, count_changed_runs, count_new_runs, workspace_of;
DROP INDEX runs_kind_idx, runs_kind_status_idx, runs_queued_at_idx;
ALTER TABLE organizations DROP COLUMN workspace_limit;
