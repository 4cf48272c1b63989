-- By which secret of the deployment the digests and tokens here are made: a process that has another one must not start.
CREATE TABLE secret_fingerprint (
  -- There is one row.
  id boolean NOT NULL DEFAULT true,
  -- HMAC-SHA256 under the secret, of nothing.
  fingerprint bytea NOT NULL,
  CONSTRAINT secret_fingerprint_pkey PRIMARY KEY (id),
  CONSTRAINT secret_fingerprint_one_row_check CHECK (id)
);
