-- A step that was broken off is carried out again as a whole: each statement lets stand what it finds.

-- People who may log in. A removed user's id is never given to another: tokens name users by it. Times are seconds
-- since 1970. Names are compared with case, whatever the server's collation.
CREATE TABLE IF NOT EXISTS users (
    id         bigint       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    username   varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL UNIQUE,
    email      text         CHARACTER SET utf8mb4 NOT NULL,
    -- An encoded hash (PHC string), never a password.
    password   varchar(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    -- Names joined by blanks.
    roles      text         CHARACTER SET utf8mb4 NOT NULL,
    scopes     text         CHARACTER SET utf8mb4 NOT NULL,
    -- A JSON object: claims of each of the user's tokens.
    claims     text         CHARACTER SET utf8mb4 NOT NULL,
    active     boolean      NOT NULL DEFAULT true,
    created_at bigint       NOT NULL,
    last_login bigint
) ENGINE = InnoDB;
