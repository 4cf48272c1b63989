-- By which issuers people sign in (R92). An identity without an account leads to none by itself any more: the account was deleted, and it
-- is remembered for as long as a token that was issued before could be shown; or the person has unlinked it.
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
    -- Tokens that were issued until then are refused: an earlier session of the identity, or the identity itself, ended.
    not_before timestamptz,
    -- The account from which the person has unlinked it, which no issuer's word links again.
    unlinked_from uuid REFERENCES users (id),
    CONSTRAINT identities_subject_key UNIQUE (issuer, subject),
    -- Two people of an issuer don't become one by accident.
    CONSTRAINT identities_user_key UNIQUE (user_id, issuer),
    CONSTRAINT identities_end_check CHECK ((user_id IS NULL) = (ended_at IS NOT NULL)),
    CONSTRAINT identities_forgotten_check CHECK (ended_at IS NULL OR email IS NULL AND session_id IS NULL)
);

CREATE INDEX identities_by_unlinked_account ON identities (unlinked_from) WHERE unlinked_from IS NOT NULL;
CREATE INDEX identities_by_session ON identities (session_id);
CREATE INDEX identities_by_end ON identities (ended_at) WHERE ended_at IS NOT NULL;
