//! The table `login_networks`.

use rusqlite::params;

use super::Sqlite;
use crate::base::{Secret, UnixTime};
use crate::store::login_networks::{KEY_NAME, LoginNetworks, NetworkDigest};
use crate::store::{Answer, Sessions as _};

impl LoginNetworks for Sqlite {
    fn network_key(&self, proposed: Secret) -> Answer<'_, Secret> {
        self.secret(KEY_NAME, proposed)
    }

    fn note_network<'a>(&'a self, digest: &'a NetworkDigest, until: UnixTime) -> Answer<'a, ()> {
        let digest = *digest;
        self.write(move |writer| {
            writer
                .prepare_cached(
                    "INSERT INTO login_networks (digest, known_until) VALUES (?, ?) ON CONFLICT (digest) \
                     DO UPDATE SET known_until = max(known_until, excluded.known_until)",
                )?
                .execute(params![digest, until.0])?;
            Ok(())
        })
    }

    fn knows_network<'a>(&'a self, digest: &'a NetworkDigest, now: UnixTime) -> Answer<'a, bool> {
        let digest = *digest;
        self.look_up(move |reader| {
            reader
                .prepare_cached("SELECT 1 FROM login_networks WHERE digest = ? AND known_until > ?")?
                .exists(params![digest, now.0])
        })
    }
}
