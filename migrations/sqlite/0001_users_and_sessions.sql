-- Times are whole seconds since 1970-01-01T00:00:00Z.

CREATE TABLE users (
    -- AUTOINCREMENT: the id of a user that is gone is never given again, since old tokens may still name it.
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    username   TEXT    NOT NULL UNIQUE COLLATE BINARY,
    email      TEXT    NOT NULL DEFAULT '',
    -- An encoded hash (PHC string), never a password.
    password   TEXT    NOT NULL,
    -- Names joined by blanks.
    roles      TEXT    NOT NULL DEFAULT '',
    active     INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1)),
    created_at INTEGER NOT NULL,
    last_login INTEGER
) STRICT;

-- One login. It lives until its newest refresh token expires or somebody ends it.
CREATE TABLE sessions (
    sid        TEXT    PRIMARY KEY,
    -- As tokens carry it: users may live elsewhere.
    user_id    TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    ends_at    INTEGER NOT NULL,
    ended_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_end ON sessions (ends_at);

-- The refresh tokens that were handed out.
CREATE TABLE refresh_tokens (
    jti        TEXT    PRIMARY KEY,
    -- Null where a token was accepted that no login of this database made.
    sid        TEXT    REFERENCES sessions (sid) ON DELETE CASCADE,
    user_id    TEXT,
    -- SHA-256 of the token's text, so that this table is worth nothing to a thief.
    hash       BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('live', 'rotated', 'ended'))
) STRICT, WITHOUT ROWID;

CREATE INDEX refresh_tokens_by_session ON refresh_tokens (sid);
CREATE INDEX refresh_tokens_by_user ON refresh_tokens (user_id);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

-- Tokens that are refused although they have not expired. The one table that decides: a token may stand here
-- without a row above.
CREATE TABLE blacklist (
    jti        TEXT    PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX blacklist_by_expiry ON blacklist (expires_at);
