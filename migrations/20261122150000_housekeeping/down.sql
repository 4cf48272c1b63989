DROP INDEX invitations_unsent_idx;
DROP INDEX sessions_expires_at_idx;
DROP INDEX invitations_overdue_idx;
DROP INDEX join_codes_overdue_idx;
