DELETE FROM departure_steps WHERE step = 'cancel_runs';
ALTER TABLE departure_steps DROP CONSTRAINT departure_steps_step_check,
  ADD CONSTRAINT departure_steps_step_check CHECK (step IN ('revoke_access', 'revoke_issued', 'transfer_projects',
    'transfer_volumes', 'transfer_others', 'collect_samples', 'share_documents', 'remove_grants', 'leave_teams', 'notify'));
DROP TABLE runs;
