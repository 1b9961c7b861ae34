-- From which networks which names have logged in.
CREATE TABLE login_networks (
    -- Of both, keyed with a secret of this database.
    digest      bytea  PRIMARY KEY,
    known_until bigint NOT NULL
);

CREATE INDEX login_networks_by_end ON login_networks (known_until);
