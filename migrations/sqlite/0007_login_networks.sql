-- From which networks which names have logged in.
CREATE TABLE login_networks (
    -- Of both, keyed with a secret of this database.
    digest      BLOB PRIMARY KEY,
    known_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX login_networks_by_end ON login_networks (known_until);
