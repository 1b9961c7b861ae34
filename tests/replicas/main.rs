//! Gateways whose sessions and users are in PostgreSQL or MariaDB: real servers that a test starts for itself, the real
//! binary, and several replicas of it.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod death;
mod outage;
mod sessions;
#[path = "../support/mod.rs"]
mod support;
mod throttle;
mod tls;
mod user_check;

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libtest_mimic::Arguments;
use serde_json::{Value, json};
use support::{
    Answer, Config, Connection, DatabaseKind, DatabaseServer, Home, Protocol, Tollgate, Upstream, config,
    server_missing, trial,
};

const PASSWORD: &str = "the-long-password-of-ada";

/// One database, one application, and a gateway in front of it.
struct Site {
    server: DatabaseServer,
    gate: Tollgate,
    app: Upstream,
}

impl Site {
    async fn start(kind: DatabaseKind) -> Self {
        Self::with(kind, |config| config).await
    }

    async fn with(kind: DatabaseKind, change: impl FnOnce(Config) -> Config) -> Self {
        let server = DatabaseServer::start(kind).await;
        let app = Upstream::echo().await;
        let file = config().issuer().set("issuer.store", json!(server.url())).route("/*", "local", &app);
        let home: Home = change(file).write();
        home.generate_key();
        // The tables are made by whoever comes first.
        home.add_user("ada", PASSWORD);
        Self { gate: Tollgate::start(home).await, server, app }
    }

    /// A second gateway with the same database and keys.
    async fn replica(&self) -> Tollgate {
        self.replica_with(|config| config).await
    }

    async fn replica_with(&self, change: impl FnOnce(Config) -> Config) -> Tollgate {
        let keys = self.gate.home.path("data/keys").display().to_string();
        let file = config().issuer().set("issuer.store", json!(self.server.url()));
        let file = file.set("issuer.key_ring", json!(keys)).route("/*", "local", &self.app);
        Tollgate::start(change(file)).await
    }

    async fn connect(&self) -> Connection {
        self.gate.client(Protocol::Http2).connect().await
    }
}

struct Pair {
    access: String,
    refresh: String,
}

/// Both tokens of a good answer.
fn pair(answer: &Answer) -> Pair {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let token = |name: &str| body[name].as_str().unwrap().to_owned();
    Pair { access: token("access"), refresh: token("refresh") }
}

async fn try_login(connection: &Connection) -> Answer {
    connection.post("/api/token/").json(json!({ "username": "ada", "password": PASSWORD })).await
}

async fn login(connection: &Connection) -> Pair {
    pair(&try_login(connection).await)
}

async fn refresh(connection: &Connection, token: &str) -> Answer {
    connection.post("/api/token/refresh/").json(json!({ "refresh": token })).await
}

async fn status(connection: &Connection, access: &str) -> u16 {
    connection.get("/").bearer(access).await.status.as_u16()
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn main() -> ExitCode {
    let mut trials = Vec::new();
    for kind in [DatabaseKind::Postgres, DatabaseKind::MariaDb] {
        let missing = server_missing(kind.program());
        let mut add = |what: &str, test: fn(DatabaseKind)| {
            trials.push(trial(&format!("{what}_on_{kind:?}"), missing.as_deref(), move || test(kind)));
        };
        add("sessions_begin_go_on_and_end_at_the_endpoints_and_by_command", |kind| {
            block_on(sessions::begin_go_on_and_end(kind));
        });
        add("another_replica_hears_of_a_logout_within_a_second_and_repeats_a_refresh_alike", |kind| {
            block_on(sessions::replicas_agree(kind));
        });
        add("a_network_that_logged_in_at_one_replica_is_known_to_the_others", |kind| {
            block_on(throttle::networks_are_known_to_all(kind));
        });
        add("a_server_that_is_gone_is_told_to_clients_until_it_is_back", |kind| {
            block_on(outage::told_until_it_is_back(kind));
        });
        add("a_gateway_that_starts_before_its_database_serves_from_when_it_is_there", |kind| {
            block_on(outage::starts_without(kind));
        });
        add("a_server_elsewhere_is_used_only_if_its_certificate_is_good_for_its_name", |kind| {
            block_on(tls::certificates(kind));
        });
        add("a_server_without_tls_is_used_only_where_tls_is_not_asked_for", |kind| {
            block_on(tls::no_tls(kind));
        });
        add("killed_amid_1000_refreshes_each_session_has_its_old_token_or_its_new_one", |kind| {
            block_on(death::amid_refreshes(kind));
        });
    }
    let missing = server_missing(DatabaseKind::Postgres.program());
    trials.push(trial("requests_of_one_user_at_once_ask_the_store_once", missing.as_deref(), || {
        block_on(user_check::one_question_for_all_of_one_user());
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}
