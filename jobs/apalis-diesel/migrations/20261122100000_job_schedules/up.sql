ALTER TABLE jobs
    ADD COLUMN correlation_id text CONSTRAINT jobs_correlation_id_length CHECK (octet_length(correlation_id) <= 100);

COMMENT ON COLUMN jobs.correlation_id IS 'what its log lines have in common with those of whatever enqueued it';

CREATE TABLE job_schedules (
    name text CONSTRAINT job_schedules_pkey PRIMARY KEY,
    expression text NOT NULL,
    next_at timestamptz NOT NULL,
    last_at timestamptz
);

COMMENT ON COLUMN job_schedules.expression IS 'when it ticks, in the syntax of cron with seconds; UTC';
COMMENT ON COLUMN job_schedules.next_at IS 'when it is to tick next';
COMMENT ON COLUMN job_schedules.last_at IS 'when it last ticked';
