DROP TABLE audit_events, audit_heads, resource_moves, departure_steps, departures, resources, join_codes,
  attempts, api_keys, sessions, sign_in_requests, invitations, members, organizations, users CASCADE;
DROP FUNCTION audit_append(uuid, uuid, text, text, uuid, text, text, jsonb);
DROP FUNCTION audit_hash(bytea, uuid, bigint, uuid, text, text, uuid, text, text, jsonb, timestamptz);
DROP FUNCTION refuse_audit_change();
DROP FUNCTION require_one_owner();
CREATE OR REPLACE FUNCTION job_clock() RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$ SELECT clock_timestamp() $$;
DROP FUNCTION rollcall_now();
