-- People who may log in. A removed user's id is never given to another: tokens name users by it. Times are seconds
-- since 1970.
CREATE TABLE users (
    id         bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    username   text    NOT NULL UNIQUE,
    email      text    NOT NULL DEFAULT '',
    -- An encoded hash (PHC string), never a password.
    password   text    NOT NULL,
    -- Names joined by blanks.
    roles      text    NOT NULL DEFAULT '',
    scopes     text    NOT NULL DEFAULT '',
    -- A JSON object: claims of each of the user's tokens.
    claims     text    NOT NULL DEFAULT '{}',
    active     boolean NOT NULL DEFAULT true,
    created_at bigint  NOT NULL,
    last_login bigint
);
