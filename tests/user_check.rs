//! Routes that ask about the user behind a token: `auth.user_check`, against the real binary and its database.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _, SqliteConnection};
use support::{Answer, Connection, Home, Protocol, Tollgate, Upstream, config, within};

const DATABASE: &str = "data/tollgate.db";
const PASSWORD: &str = "the-long-password-of-ada";

/// A gateway with one worker, the users `ada` and `bob`, and a route that asks about them.
struct Site {
    gate: Tollgate,
    app: Upstream,
}

impl Site {
    async fn start(user_check: Value) -> Self {
        Self::with(user_check, |config| config).await
    }

    async fn with(user_check: Value, change: impl FnOnce(support::Config) -> support::Config) -> Self {
        let app = Upstream::echo().await;
        let file = config().issuer().set("server.workers", json!(1)).push_route(json!({
            "match": { "path": "/*" },
            "auth": { "providers": ["local"], "user_check": user_check },
            "upstream": app.url(),
        }));
        let home: Home = change(file).write();
        if !home.path("secret").exists() {
            home.generate_key();
        }
        home.add_user("ada", PASSWORD);
        home.add_user("bob", PASSWORD);
        Self { gate: Tollgate::start(home).await, app }
    }

    async fn connect(&self) -> Connection {
        self.gate.client(Protocol::Http1).connect().await
    }

    async fn database(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.gate.home.path(DATABASE)).connect().await.unwrap()
    }

    async fn change(&self, sql: &'static str) {
        self.database().await.execute(sql).await.unwrap();
    }
}

async fn login(connection: &Connection, user: &str) -> Value {
    let answer = connection.post("/api/token/").json(json!({ "username": user, "password": PASSWORD })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn access(tokens: &Value) -> &str {
    tokens["access"].as_str().unwrap()
}

async fn assert_refused(site: &Site, answer: &Answer, reason: &str) {
    assert_eq!(answer.status, 401, "{}", answer.text());
    // The client is not told what is wrong with its user.
    assert_eq!(answer.json()["code"], "invalid_token");
    let id = answer.header("x-request-id").unwrap().to_owned();
    let line = site.gate.log_line("the refusal", |line| line["request_id"] == id.as_str()).await;
    assert_eq!(line["reason"], reason);
}

#[tokio::test]
async fn with_an_age_of_zero_each_request_sees_the_user_as_it_is() {
    let site = Site::start(json!({ "max_age": "0s" })).await;
    let connection = site.connect().await;
    let tokens = login(&connection, "ada").await;
    let get = || async { connection.get("/").bearer(access(&tokens)).await };
    assert_eq!(get().await.status, 200);

    site.change("UPDATE users SET active = 0 WHERE username = 'ada'").await;
    assert_refused(&site, &get().await, "inactive_user").await;
    site.change("UPDATE users SET active = 1 WHERE username = 'ada'").await;
    assert_eq!(get().await.status, 200);
    site.change("DELETE FROM users WHERE username = 'ada'").await;
    assert_refused(&site, &get().await, "unknown_user").await;
    assert_eq!(site.app.requests_seen(), 2);
}

/// A gateway whose route says nothing of users, and a token that it took once.
async fn unsaid(compatibility: &str) -> (Site, Connection, Value) {
    let site = Site::with(Value::Null, |config| {
        config
            .set("issuer.compatibility", json!(compatibility))
            .set("issuer.algorithm", json!("HS256"))
            .set("issuer.signing_key", json!("file:secret"))
            .file("secret", "a-secret-of-at-least-thirty-two-bytes")
            .set("issuer.user_poll_interval", json!("1h"))
            .set("routes.0.auth", json!({ "providers": ["local"] }))
    })
    .await;
    let connection = site.connect().await;
    let tokens = login(&connection, "ada").await;
    assert_eq!(connection.get("/").bearer(access(&tokens)).await.status, 200);
    (site, connection, tokens)
}

#[tokio::test]
async fn where_nothing_is_said_simplejwt_s_profile_asks_every_five_seconds_and_nothing_else_asks() {
    let ((profile, ours, tokens), (usual, others, other)) =
        (unsaid("simplejwt").await, unsaid("tollgate").await);
    for site in [&profile, &usual] {
        site.change("UPDATE users SET active = 0").await;
    }
    let start = Instant::now();
    assert_eq!(ours.get("/").bearer(access(&tokens)).await.status, 200, "an answer counts for its age");
    let refused = within("the user to be asked about", async {
        loop {
            let answer = ours.get("/").bearer(access(&tokens)).await;
            if answer.status != 200 {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (401, &json!("user_inactive")));
    assert!(start.elapsed() < Duration::from_secs(7), "{:?}", start.elapsed());
    assert_eq!(others.get("/").bearer(access(&other)).await.status, 200);
}

#[tokio::test]
async fn an_answer_counts_for_its_age_and_for_its_user_alone() {
    let site = Site::start(json!({ "max_age": "1h" })).await;
    let connection = site.connect().await;
    let (ada, bob) = (login(&connection, "ada").await, login(&connection, "bob").await);
    assert_eq!(connection.get("/").bearer(access(&ada)).await.status, 200);

    site.change("UPDATE users SET active = 0").await;
    assert_eq!(connection.get("/").bearer(access(&ada)).await.status, 200);
    assert_refused(&site, &connection.get("/").bearer(access(&bob)).await, "inactive_user").await;
}

#[tokio::test]
async fn without_a_store_the_last_answer_counts_for_a_while_and_no_answer_is_503() {
    let site = Site::start(json!({ "max_age": "0s", "stale_if_error": "1h" })).await;
    let connection = site.connect().await;
    let (ada, bob) = (login(&connection, "ada").await, login(&connection, "bob").await);
    assert_eq!(connection.get("/").bearer(access(&ada)).await.status, 200);

    fs::rename(site.gate.home.path("data"), site.gate.home.path("away")).unwrap();
    assert_eq!(connection.get("/").bearer(access(&ada)).await.status, 200);
    let answer = connection.get("/").bearer(access(&bob)).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    assert_eq!(answer.json()["code"], "temporarily_unavailable");
    assert_eq!(site.app.requests_seen(), 2);
}

#[tokio::test]
async fn an_answer_that_is_too_old_is_no_answer_without_a_store() {
    let site = Site::start(json!({ "max_age": "0s", "stale_if_error": "0s" })).await;
    let connection = site.connect().await;
    let tokens = login(&connection, "ada").await;
    assert_eq!(connection.get("/").bearer(access(&tokens)).await.status, 200);
    fs::rename(site.gate.home.path("data"), site.gate.home.path("away")).unwrap();
    assert_eq!(connection.get("/").bearer(access(&tokens)).await.status, 503);
    assert_eq!(site.app.requests_seen(), 1);
}

#[tokio::test]
async fn a_new_password_ends_the_tokens_of_the_old_one() {
    let site =
        Site::with(json!({ "max_age": "0s" }), |config| config.set("issuer.check_revoke_token", json!(true)))
            .await;
    let connection = site.connect().await;
    let tokens = login(&connection, "ada").await;
    assert_eq!(connection.get("/").bearer(access(&tokens)).await.status, 200);

    // The same password with another salt is another one, as in Django.
    site.change(
        "UPDATE users SET password = (SELECT password FROM users WHERE username = 'bob') \
          WHERE username = 'ada'",
    )
    .await;
    assert_refused(&site, &connection.get("/").bearer(access(&tokens)).await, "password_changed").await;
    // Nor is a new one to be had for the old.
    let refreshed =
        connection.post("/api/token/refresh/").json(json!({ "refresh": tokens["refresh"] })).await;
    assert_eq!(refreshed.status, 401, "{}", refreshed.text());
    let again = login(&connection, "ada").await;
    assert_eq!(connection.get("/").bearer(access(&again)).await.status, 200);
}

#[tokio::test]
async fn an_outage_is_told_once() {
    let site = Site::start(json!({ "max_age": "0s", "stale_if_error": "1h" })).await;
    let connection = site.connect().await;
    let tokens = login(&connection, "ada").await;
    assert_eq!(connection.get("/").bearer(access(&tokens)).await.status, 200);
    fs::rename(site.gate.home.path("data"), site.gate.home.path("away")).unwrap();
    for _ in 0..50 {
        assert_eq!(connection.get("/").bearer(access(&tokens)).await.status, 200);
    }
    let told = |lines: &[String]| lines.iter().filter(|line| line.contains("nobody can tell")).count();
    let lines = site.gate.lines_until("word of the outage", |lines| told(lines) > 0).await;
    assert_eq!(told(&lines), 1);
}
