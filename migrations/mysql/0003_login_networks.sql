-- A step that was broken off is carried out again as a whole: each statement lets stand what it finds.

-- From which networks which names have logged in.
CREATE TABLE IF NOT EXISTS login_networks (
    -- Of both, keyed with a secret of this database.
    digest      varbinary(32) NOT NULL PRIMARY KEY,
    known_until bigint        NOT NULL,
    KEY login_networks_by_end (known_until)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
