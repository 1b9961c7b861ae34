//! The issuer's store, by its traits: one suite over every kind of database, in each of which several replicas have the
//! same store open. Servers are real ones that a test starts for itself.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod deadlock;
mod login_networks;
mod outage;
mod purge;
mod races;
mod sessions;
#[path = "../support/mod.rs"]
mod support;
mod users;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use libtest_mimic::Arguments;
use support::{DatabaseKind, DatabaseServer, server_missing, trial};
use tollgate::base::UnixTime;
use tollgate::config::{self, Database};
use tollgate::store::{
    AccessToken, Ended, Ending, Login, Missing, NewSession, NewUser, OldToken, PasswordHash, RefreshToken,
    Rotation, Store, Unanswered, UserAttributes, UserId, open_store,
};

const NOW: UnixTime = UnixTime(1_700_000_000);
const LATER: UnixTime = UnixTime(1_700_086_400);
const ACCESS: AccessToken<'static> = AccessToken { expires_at: UnixTime(NOW.0 + 300), jti: None };

/// What a part of the suite runs on.
pub(crate) struct Kind {
    server: Option<DatabaseServer>,
    folder: tempfile::TempDir,
    made: AtomicU32,
}

/// A database of its own for one case.
pub(crate) struct Place {
    database: Database,
}

impl Kind {
    async fn start(kind: Option<DatabaseKind>) -> Self {
        let server = match kind {
            Some(kind) => Some(DatabaseServer::start(kind).await),
            None => None,
        };
        Self { server, folder: tempfile::tempdir().unwrap(), made: AtomicU32::new(0) }
    }

    pub(crate) fn place(&self) -> Place {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let url = match &self.server {
            None => format!("sqlite://{}", self.folder.path().join(format!("case{number}.db")).display()),
            Some(server) => {
                server.execute(&format!("CREATE DATABASE case{number}"));
                server.url_of(&format!("case{number}"))
            }
        };
        Place { database: database(&url) }
    }
}

impl Place {
    /// As one more replica opens it.
    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        open_store(&self.database, Missing::Create, Unanswered::Refuse).await.expect("a store")
    }

    /// As two gateways that start at once. An SQLite file is for one.
    pub(crate) async fn two(&self) -> [Arc<dyn Store>; 2] {
        match self.database {
            Database::Sqlite(_) => {
                let one = self.open().await;
                [Arc::clone(&one), one]
            }
            Database::Postgres(_) | Database::MySql(_) => tokio::join!(self.open(), self.open()).into(),
        }
    }
}

/// A database as the reader of a `gateway.yaml` names it.
pub(crate) fn database(url: &str) -> Database {
    let file = format!("issuer: {{ store: '{url}' }}");
    let config = config::read_text(&file, Path::new("gateway.yaml"), &|_| None).unwrap();
    config.issuer.unwrap().store
}

pub(crate) fn ending(now: UnixTime) -> Ending<'static> {
    Ending { issuer: Some("us"), leeway: Duration::ZERO, now }
}

pub(crate) fn attributes() -> UserAttributes {
    UserAttributes {
        email: "ada@example.com".to_owned(),
        roles: "admin staff".to_owned(),
        scopes: "orders:read".to_owned(),
        claims: serde_json::Map::from_iter([("team".to_owned(), serde_json::json!(["Zoë's\u{0}", 7]))]),
    }
}

pub(crate) fn new_user(username: &str) -> NewUser {
    NewUser {
        username: username.to_owned(),
        password: PasswordHash::from_stored("hash".to_owned()),
        attributes: attributes(),
    }
}

pub(crate) fn token(jti: &str) -> RefreshToken {
    RefreshToken { jti: jti.to_owned(), hash: [7; 32], expires_at: LATER, claims: None }
}

pub(crate) fn old(jti: &str) -> OldToken<'_> {
    OldToken { jti, expires_at: LATER }
}

pub(crate) fn rotation<'a>(jti: &'a str, new: &'a RefreshToken) -> Rotation<'a> {
    Rotation { old: old(jti), new, access: ACCESS, user: None, retire: true, require_session: true, now: NOW }
}

pub(crate) async fn log_in(store: &dyn Store, sid: &str, user: &UserId, refresh: &RefreshToken) {
    let session = NewSession { sid: sid.to_owned(), user: user.clone(), started_at: NOW };
    let login =
        Login { session: &session, refresh, access: ACCESS, replaces: None, most: None, ending: ending(NOW) };
    assert_eq!(store.start_session(&login).await.expect("a session"), Ended::default());
}

fn main() -> ExitCode {
    let mut trials = Vec::new();
    for (name, kind) in [
        ("sqlite", None),
        ("postgres", Some(DatabaseKind::Postgres)),
        ("mariadb", Some(DatabaseKind::MariaDb)),
    ] {
        let missing = kind.and_then(|kind| server_missing(kind.program()));
        let mut add = |what: &str, test: fn(Option<DatabaseKind>)| {
            trials.push(trial(&format!("{what}_on_{name}"), missing.as_deref(), move || test(kind)));
        };
        add("users_are_kept", |kind| block_on(users::all(kind)));
        add("networks_of_logins_are_kept", |kind| block_on(login_networks::all(kind)));
        add("sessions_are_kept", |kind| block_on(sessions::all(kind)));
        add("of_64_rotations_at_once_one_is_done_50_times", |kind| block_on(races::rotations(kind)));
        add("replicas_that_meet_agree", |kind| block_on(races::all(kind)));
        add("a_purge_revives_nothing", |kind| block_on(purge::all(kind)));
        if kind == Some(DatabaseKind::MariaDb) {
            add("a_call_that_waited_too_long_for_a_lock_is_done_all_the_same_once", |kind| {
                block_on(deadlock::a_long_wait(kind));
            });
            add("a_step_that_was_broken_off_is_taken_again", |kind| block_on(outage::broken_off(kind)));
        }
        if kind.is_some() {
            add("a_call_that_was_broken_off_in_a_deadlock_is_done_all_the_same_once", |kind| {
                block_on(deadlock::in_opposite_order(kind));
            });
            add("a_server_that_is_gone_is_unavailable_and_recovers", |kind| block_on(outage::all(kind)));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}
