-- What became of requests with an Idempotency-Key (R91). `steps` has the fields of the request that were carried out, each with the run
-- that did; `answers` has what they were answered, each as the text of a JSON value, since jsonb forgets the order of an object's fields.
CREATE TABLE idempotency_keys (
    caller text NOT NULL,
    key text NOT NULL,
    request bytea NOT NULL,
    steps jsonb NOT NULL DEFAULT '{}',
    answers jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT rollcall_now(),
    PRIMARY KEY (caller, key)
);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
