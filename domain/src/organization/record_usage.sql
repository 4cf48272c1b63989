-- Keys are inserted in a fixed order, so that two reports with the same keys wait for each other instead of deadlocking.
INSERT INTO usage_entries
  (id, organization_id, kind, quantity, credits, region, user_id, workspace_id, run_id, key_scope, idempotency_key, occurred_at, recorded_at)
SELECT n.id, n.organization_id, n.kind, n.quantity, n.credits, n.region, n.user_id, n.workspace_id, n.run_id, n.key_scope, n.idempotency_key,
  n.occurred_at, rollcall_now()
FROM unnest(:ids, :organizations, :kinds, :quantities, :credits, :regions, :users, :workspaces, :runs, :scopes, :keys, :occurred)
  AS n (id, organization_id, kind, quantity, credits, region, user_id, workspace_id, run_id, key_scope, idempotency_key, occurred_at)
ORDER BY n.key_scope, n.idempotency_key, n.id
ON CONFLICT ON CONSTRAINT usage_entries_idempotency_key_key DO NOTHING
RETURNING id
