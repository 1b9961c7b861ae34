//! The token endpoints of the running program, in Tollgate's own manner, and the routes that take their tokens.
//!
//! What SimpleJWT's clients rely on is replayed in `tests/golden`.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod at_rest;
mod ending;
mod hook;
mod input;
mod outage;
mod races;
mod session;
#[path = "../support/mod.rs"]
mod support;
mod throttle;

use serde_json::{Value, json};
use support::{Answer, Config, Connection, Home, Protocol, Tollgate, Upstream, config};

/// The user whom every gateway here has.
const USER: &str = "ada";
/// Unlike anything that a program prints by itself.
const PASSWORD: &str = "Zq7-a-password-that-nothing-prints";

/// A gateway with its own users, before an application.
struct Site {
    gate: Tollgate,
    app: Upstream,
}

/// What a login brings.
#[derive(Debug, Clone)]
struct Pair {
    access: String,
    refresh: String,
}

impl Site {
    async fn start() -> Self {
        Self::start_with(|config| config, Home::generate_key).await
    }

    /// With a file of which something differs, and what an operator does before the first start.
    async fn start_with(change: impl FnOnce(Config) -> Config, prepare: impl FnOnce(&Home)) -> Self {
        let app = Upstream::echo().await;
        let home: Home = change(config().issuer().route("/*", "local", &app)).into();
        prepare(&home);
        home.add_user(USER, PASSWORD);
        Self { gate: Tollgate::start(home).await, app }
    }

    async fn connect(&self) -> Connection {
        self.gate.client(Protocol::Http1).connect().await
    }
}

impl Drop for Site {
    /// No test here may make the gateway print the password, whatever it does; tokens are the harness's matter.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for line in self.gate.lines() {
                assert!(!line.contains(PASSWORD), "the gateway printed a password: {line}");
            }
        }
    }
}

fn credentials(username: &str, password: &str) -> Value {
    json!({ "username": username, "password": password })
}

async fn login(connection: &Connection) -> Pair {
    pair(&connection.post("/api/token/").json(credentials(USER, PASSWORD)).await)
}

async fn refresh(connection: &Connection, token: &str) -> Answer {
    connection.post("/api/token/refresh/").json(json!({ "refresh": token })).await
}

async fn verify(connection: &Connection, token: &str) -> Answer {
    connection.post("/api/token/verify/").json(json!({ "token": token })).await
}

async fn blacklist(connection: &Connection, token: &str) -> Answer {
    connection.post("/api/token/blacklist/").json(json!({ "refresh": token })).await
}

/// Both tokens of a good answer.
fn pair(answer: &Answer) -> Pair {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let token = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}")).to_owned();
    Pair { access: token("access"), refresh: token("refresh") }
}

/// Any text of a refusal, and this code.
fn assert_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["code"], code, "{body}");
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
}
