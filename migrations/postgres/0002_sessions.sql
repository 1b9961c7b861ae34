-- Times are seconds since 1970. Names are compared byte by byte ("C"), as in every other database.

-- One login. It lives until its newest refresh token expires or somebody ends it.
CREATE TABLE sessions (
    sid            text   COLLATE "C" PRIMARY KEY,
    -- As tokens carry it: users may live elsewhere.
    user_id        text   COLLATE "C" NOT NULL,
    created_at     bigint NOT NULL,
    ends_at        bigint NOT NULL,
    -- When the last access token of the session expires: until then its end must be known to all who take tokens.
    access_ends_at bigint NOT NULL,
    ended_at       bigint
);

CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_end ON sessions (ends_at);

-- The refresh tokens that were handed out.
CREATE TABLE refresh_tokens (
    jti        text   COLLATE "C" PRIMARY KEY,
    -- Null where a token was accepted that no login of this database made.
    sid        text   COLLATE "C" REFERENCES sessions (sid) ON DELETE CASCADE,
    user_id    text   COLLATE "C",
    -- SHA-256 of what the token says, so that this table is worth nothing to a thief.
    hash       bytea  NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    state      text   NOT NULL CHECK (state IN ('live', 'rotated', 'ended')),
    -- What the token says, sealed, for as long as its predecessor may come once more for the same.
    claims     bytea
);

CREATE INDEX refresh_tokens_by_session ON refresh_tokens (sid);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

-- Tokens that are refused although they have not expired. The one table that decides: a token may stand here
-- without a row above.
CREATE TABLE blacklist (
    jti        text   COLLATE "C" PRIMARY KEY,
    expires_at bigint NOT NULL
);

CREATE INDEX blacklist_by_expiry ON blacklist (expires_at);

-- The access tokens that were handed out without a name of their session in them.
CREATE TABLE access_tokens (
    jti        text   COLLATE "C" PRIMARY KEY,
    sid        text   COLLATE "C" NOT NULL REFERENCES sessions (sid) ON DELETE CASCADE,
    expires_at bigint NOT NULL
);

CREATE INDEX access_tokens_by_session ON access_tokens (sid);
CREATE INDEX access_tokens_by_expiry ON access_tokens (expires_at);

-- Tokens that are void before their time. Numbers are given from the counter, whose row stays locked until the
-- transaction that adds the rows has ended: so they are seen in their order, and who saw a number has seen all below it.
-- A sequence would not do: it gives the next number before the one below it is there to be seen.
CREATE TABLE revocations (
    number        bigint PRIMARY KEY,
    kind          text   NOT NULL CHECK (kind IN ('token', 'session', 'subject', 'input')),
    -- UTF-8. Any provider's tokens can be named here, with whatever they hold: also what no text here can.
    issuer        bytea,
    name          bytea  NOT NULL,
    -- Of a subject: tokens issued before this second.
    issued_before bigint,
    expires_at    bigint NOT NULL
);

CREATE INDEX revocations_by_expiry ON revocations (expires_at);

CREATE TABLE counters (
    name  text   PRIMARY KEY,
    value bigint NOT NULL
);

INSERT INTO counters (name, value) VALUES ('revocations', 0);

-- One of these rows is locked by a login that counts its user's sessions. Which one follows from the user's id; that two
-- users may share one costs the second a moment.
CREATE TABLE login_locks (
    number bigint PRIMARY KEY
);

INSERT INTO login_locks (number) SELECT generate_series(0, 255);

-- Random bytes that all replicas share.
CREATE TABLE secrets (
    name  text  PRIMARY KEY,
    value bytea NOT NULL
);

-- Users who live elsewhere, as they were at their last login, where nothing but a login can be asked.
CREATE TABLE known_users (
    id    text COLLATE "C" PRIMARY KEY,
    -- A JSON object, never with a password.
    facts text NOT NULL
);
