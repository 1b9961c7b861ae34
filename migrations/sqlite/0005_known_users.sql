-- Users who live elsewhere, as they were at their last login, where nothing but a login can be asked.
CREATE TABLE known_users (
    id    TEXT PRIMARY KEY,
    -- A JSON object, never with a password.
    facts TEXT NOT NULL
) STRICT, WITHOUT ROWID;
