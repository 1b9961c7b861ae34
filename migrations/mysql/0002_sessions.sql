-- A step that was broken off is carried out again as a whole: each statement lets stand what it finds.

-- Times are seconds since 1970. Names are bytes: in a text, collations would take different ones for the same, by case,
-- accents or blanks at the end.

-- One login. It lives until its newest refresh token expires or somebody ends it.
CREATE TABLE IF NOT EXISTS sessions (
    sid            varbinary(255)  NOT NULL PRIMARY KEY,
    -- As tokens carry it: users may live elsewhere.
    user_id        varbinary(1024) NOT NULL,
    created_at     bigint NOT NULL,
    ends_at        bigint NOT NULL,
    -- When the last access token of the session expires: until then its end must be known to all who take tokens.
    access_ends_at bigint NOT NULL,
    ended_at       bigint,
    KEY sessions_by_user (user_id),
    KEY sessions_by_end (ends_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

-- The refresh tokens that were handed out.
CREATE TABLE IF NOT EXISTS refresh_tokens (
    jti        varbinary(255) NOT NULL PRIMARY KEY,
    -- Null where a token was accepted that no login of this database made.
    sid        varbinary(255),
    user_id    varbinary(1024),
    -- SHA-256 of what the token says, so that this table is worth nothing to a thief.
    hash       varbinary(64) NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    state      varbinary(16) NOT NULL CHECK (state IN ('live', 'rotated', 'ended')),
    -- What the token says, sealed, for as long as its predecessor may come once more for the same.
    claims     mediumblob,
    KEY refresh_tokens_by_session (sid),
    KEY refresh_tokens_by_expiry (expires_at),
    CONSTRAINT refresh_tokens_of_session FOREIGN KEY (sid) REFERENCES sessions (sid) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

-- Tokens that are refused although they have not expired. The one table that decides: a token may stand here
-- without a row above.
CREATE TABLE IF NOT EXISTS blacklist (
    jti        varbinary(255) NOT NULL PRIMARY KEY,
    expires_at bigint NOT NULL,
    KEY blacklist_by_expiry (expires_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

-- The access tokens that were handed out without a name of their session in them.
CREATE TABLE IF NOT EXISTS access_tokens (
    jti        varbinary(255) NOT NULL PRIMARY KEY,
    sid        varbinary(255) NOT NULL,
    expires_at bigint NOT NULL,
    KEY access_tokens_by_session (sid),
    KEY access_tokens_by_expiry (expires_at),
    CONSTRAINT access_tokens_of_session FOREIGN KEY (sid) REFERENCES sessions (sid) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

-- Tokens that are void before their time. Numbers are given from the counter, whose row stays locked until the
-- transaction that adds the rows has ended: so they are seen in their order, and who saw a number has seen all below it.
-- AUTO_INCREMENT would not do: it gives the next number before the one below it is there to be seen.
CREATE TABLE IF NOT EXISTS revocations (
    number        bigint NOT NULL PRIMARY KEY,
    kind          varbinary(16) NOT NULL CHECK (kind IN ('token', 'session', 'subject', 'input')),
    -- UTF-8, of any length: any provider's tokens can be named here.
    issuer        mediumblob,
    name          mediumblob NOT NULL,
    -- Of a subject: tokens issued before this second.
    issued_before bigint,
    expires_at    bigint NOT NULL,
    KEY revocations_by_expiry (expires_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

CREATE TABLE IF NOT EXISTS counters (
    name  varbinary(64) NOT NULL PRIMARY KEY,
    value bigint NOT NULL
) ENGINE = InnoDB;

INSERT IGNORE INTO counters (name, value) VALUES ('revocations', 0);

-- One of these rows is locked by a login that counts its user's sessions. Which one follows from the user's id; that two
-- users may share one costs the second a moment.
CREATE TABLE IF NOT EXISTS login_locks (
    number bigint NOT NULL PRIMARY KEY
) ENGINE = InnoDB;

INSERT IGNORE INTO login_locks (number)
    WITH RECURSIVE numbers (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM numbers WHERE number < 255)
    SELECT number FROM numbers;

-- Random bytes that all replicas share.
CREATE TABLE IF NOT EXISTS secrets (
    name  varbinary(64) NOT NULL PRIMARY KEY,
    value varbinary(1024) NOT NULL
) ENGINE = InnoDB;

-- Users who live elsewhere, as they were at their last login, where nothing but a login can be asked.
CREATE TABLE IF NOT EXISTS known_users (
    id    varbinary(1024) NOT NULL PRIMARY KEY,
    -- A JSON object, never with a password.
    facts longtext CHARACTER SET utf8mb4 NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
