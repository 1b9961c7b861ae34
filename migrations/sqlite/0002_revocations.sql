-- When the last access token of the session expires: until then its end must be known to all who take tokens.
ALTER TABLE sessions ADD COLUMN access_ends_at INTEGER NOT NULL DEFAULT 0;
UPDATE sessions SET access_ends_at = ends_at;

-- What the token says, sealed, for as long as its predecessor may come once more for the same.
ALTER TABLE refresh_tokens ADD COLUMN claims BLOB;

-- The access tokens that were handed out without a name of their session in them.
CREATE TABLE access_tokens (
    jti        TEXT    PRIMARY KEY,
    sid        TEXT    NOT NULL REFERENCES sessions (sid) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX access_tokens_by_session ON access_tokens (sid);
CREATE INDEX access_tokens_by_expiry ON access_tokens (expires_at);

-- Tokens that are void before their time. Numbers are given from the counter in the transaction that adds the row,
-- so that they are seen in their order: who saw a number has seen all below it.
CREATE TABLE revocations (
    number        INTEGER PRIMARY KEY,
    kind          TEXT    NOT NULL CHECK (kind IN ('token', 'session', 'subject', 'input')),
    issuer        TEXT,
    name          TEXT    NOT NULL,
    -- Of a subject: tokens issued before this second.
    issued_before INTEGER,
    expires_at    INTEGER NOT NULL
) STRICT;

CREATE INDEX revocations_by_expiry ON revocations (expires_at);

CREATE TABLE counters (
    name  TEXT    PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO counters (name, value) VALUES ('revocations', 0);

-- Random bytes that all replicas share.
CREATE TABLE secrets (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
