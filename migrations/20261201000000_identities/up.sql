-- By which issuers people sign in (R92). An identity without an account is remembered for as long as a token that was issued before could
-- be shown: the account was deleted, or the person has unlinked it, and it leads to no account by itself any more.
CREATE TABLE identities (
    id uuid PRIMARY KEY,
    user_id uuid REFERENCES users (id),
    issuer text NOT NULL,
    subject text NOT NULL,
    email text,
    -- The session that tokens of this identity have.
    session_id uuid REFERENCES sessions (id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    ended_at timestamptz,
    CONSTRAINT identities_subject_key UNIQUE (issuer, subject),
    -- Two people of an issuer don't become one by accident.
    CONSTRAINT identities_user_key UNIQUE (user_id, issuer),
    CONSTRAINT identities_end_check CHECK ((user_id IS NULL) = (ended_at IS NOT NULL)),
    CONSTRAINT identities_forgotten_check CHECK (ended_at IS NULL OR email IS NULL AND session_id IS NULL)
);

CREATE INDEX identities_by_session ON identities (session_id);
CREATE INDEX identities_by_end ON identities (ended_at) WHERE ended_at IS NOT NULL;
