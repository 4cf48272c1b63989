-- The clock of everything that concerns jobs. An application with a clock of its own (one that its tests can shift,
-- for example) replaces the body with CREATE OR REPLACE FUNCTION.
CREATE FUNCTION job_clock() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$ SELECT clock_timestamp() $$;

CREATE TABLE jobs (
    id uuid CONSTRAINT jobs_pkey PRIMARY KEY,
    ordinal bigint GENERATED ALWAYS AS IDENTITY,
    queue text NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    status text NOT NULL DEFAULT 'waiting'
        CONSTRAINT jobs_status_known CHECK (status IN ('waiting', 'running', 'done', 'given_up')),
    priority smallint NOT NULL DEFAULT 0,
    scheduled_at timestamptz NOT NULL,
    run_at timestamptz NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    uncounted_attempts integer NOT NULL DEFAULT 0
        CONSTRAINT jobs_uncounted_attempts_possible CHECK (uncounted_attempts BETWEEN 0 AND attempt),
    max_attempts integer NOT NULL CONSTRAINT jobs_max_attempts_positive CHECK (max_attempts > 0),
    timeout interval NOT NULL CONSTRAINT jobs_timeout_positive CHECK (timeout > interval '0'),
    unique_key text CONSTRAINT jobs_unique_key_length CHECK (octet_length(unique_key) <= 1000),
    serial_key text CONSTRAINT jobs_serial_key_length CHECK (octet_length(serial_key) <= 1000),
    alone boolean NOT NULL DEFAULT false,
    worker text,
    lease_expires_at timestamptz,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT job_clock(),
    started_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT jobs_lease_while_running CHECK ((status = 'running') = (lease_expires_at IS NOT NULL)),
    CONSTRAINT jobs_finished_at_end CHECK ((status IN ('done', 'given_up')) = (finished_at IS NOT NULL))
) WITH (
    -- Every job leaves at least two dead rows behind, and claims must not wade through them.
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.05
);

COMMENT ON COLUMN jobs.id IS 'UUIDv7';
COMMENT ON COLUMN jobs.ordinal IS 'order of enqueueing';
COMMENT ON COLUMN jobs.priority IS 'the higher, the sooner';
COMMENT ON COLUMN jobs.scheduled_at IS 'when it was to run first; never changes';
COMMENT ON COLUMN jobs.run_at IS 'not before this time; a retry moves it';
COMMENT ON COLUMN jobs.attempt IS 'number of claims so far. Never used twice: (id, attempt) names one claim for good';
COMMENT ON COLUMN jobs.uncounted_attempts IS 'claims that do not count towards max_attempts';
COMMENT ON COLUMN jobs.timeout IS 'how long one attempt may take';
COMMENT ON COLUMN jobs.unique_key IS 'no two waiting jobs of a kind have the same';
COMMENT ON COLUMN jobs.serial_key IS 'no two running jobs of any kind have the same, and they run in order';
COMMENT ON COLUMN jobs.alone IS 'its last lease ran out, so it is claimed only by a process that runs nothing else';
COMMENT ON COLUMN jobs.worker IS 'the process that has or had it';

-- No condition of one of these indexes follows from that of a query that is meant for another or for the primary key. Else
-- the planner, if it believes the table empty, might read all of the wrong index: see SESSION in src/worker/link.rs.

-- Claims, in their order.
CREATE INDEX jobs_claim ON jobs (queue, priority DESC, run_at, ordinal) WHERE status = 'waiting' AND NOT alone;
CREATE INDEX jobs_claim_alone ON jobs (queue, run_at, ordinal) WHERE status = 'waiting' AND alone;
CREATE UNIQUE INDEX jobs_unique_key ON jobs (kind, unique_key) WHERE status = 'waiting' AND unique_key IS NOT NULL;
-- The claim avoids a second running job; this index decides where two claims race.
CREATE UNIQUE INDEX jobs_serial_key ON jobs (serial_key) WHERE status = 'running' AND serial_key IS NOT NULL;
CREATE INDEX jobs_serial_order ON jobs (serial_key, scheduled_at, ordinal)
    WHERE status = 'waiting' AND serial_key IS NOT NULL;
-- Leases that ran out.
CREATE INDEX jobs_lease ON jobs (lease_expires_at) WHERE lease_expires_at IS NOT NULL;
-- Pruning, and what was given up.
CREATE INDEX jobs_done ON jobs (finished_at) WHERE status = 'done';
CREATE INDEX jobs_given_up ON jobs (queue, finished_at) WHERE status = 'given_up';
