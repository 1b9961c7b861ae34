//! Tokens that end before their time, on the routes that take them: by logout, by another replica, by an operator.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sqlx::Connection as _;
use tokio::sync::oneshot;

use crate::support::{
    Answer, Client, Config, Connection, Home, Idp, Protocol, Tollgate, Upstream, block_on, config,
};
use crate::{PASSWORD, Site, USER, assert_refused, credentials, login, pair, refresh, verify};
use tollgate::base::Algorithm;

const EVENTS: &str = "tollgate_session_events_total";

async fn logout(connection: &Connection, refresh: &str) -> Answer {
    connection.post("/api/token/logout/").json(json!({ "refresh": refresh })).await
}

async fn get(connection: &Connection, access: &str) -> u16 {
    connection.get("/").bearer(access).await.status.as_u16()
}

/// Asks until the token is refused, and returns how long that took.
async fn until_refused(connection: &Connection, access: &str) -> Duration {
    let start = Instant::now();
    while get(connection, access).await != 401 {
        assert!(start.elapsed() < Duration::from_secs(10), "the token is still taken");
    }
    start.elapsed()
}

/// Sends requests one after another until it is told to stop, and notes when each began and what it got.
fn hammer(
    client: Client,
    access: String,
    stop: Arc<AtomicBool>,
) -> (thread::JoinHandle<Vec<(Instant, u16)>>, oneshot::Receiver<()>) {
    let (warm, warmed) = oneshot::channel();
    let thread = thread::spawn(move || {
        block_on(async {
            let connection = client.connect().await;
            for _ in 0..3 {
                assert_eq!(get(&connection, &access).await, 200);
            }
            warm.send(()).unwrap();
            let mut seen = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                seen.push((Instant::now(), get(&connection, &access).await));
            }
            seen
        })
    });
    (thread, warmed)
}

#[tokio::test]
async fn every_worker_refuses_10_ms_after_a_logout_and_a_new_login_is_none_of_it() {
    for (path, by_refresh) in [("/api/token/logout/", true), ("/api/token/logout/all/", false)] {
        let site = Site::start().await;
        let connection = site.connect().await;
        let tokens = login(&connection).await;
        let stop = Arc::new(AtomicBool::new(false));
        // Enough connections that both workers have some, with the token in the cache of each.
        let hammers: Vec<_> = (0..8)
            .map(|_| hammer(site.gate.client(Protocol::Http1), tokens.access.clone(), Arc::clone(&stop)))
            .collect();
        let mut threads = Vec::new();
        for (thread, warmed) in hammers {
            warmed.await.unwrap();
            threads.push(thread);
        }
        let post = connection.post(path);
        let answer = match by_refresh {
            true => post.json(json!({ "refresh": tokens.refresh })).await,
            false => post.bearer(&tokens.access).await,
        };
        let answered = Instant::now();
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({})));
        until_refused(&connection, &tokens.access).await;
        let line = site.gate.log_line("many refusals", |line| line["reason"] == "revoked").await;
        assert_eq!(line["status"], 401, "{line}");
        let refusals = |metrics: &crate::support::Metrics| {
            metrics.sum("tollgate_refusals_total", &[("reason", "revoked")]) >= 200.0
        };
        site.gate.metrics_until("many refusals", refusals).await;
        stop.store(true, Ordering::Relaxed);
        let (mut before, mut after) = (0, 0);
        for (began, status) in threads.into_iter().flat_map(|thread| thread.join().unwrap()) {
            if began > answered + Duration::from_millis(10) {
                assert_eq!(status, 401, "{:?} after the answer", began - answered);
                after += 1;
            } else if began < answered {
                before += 1;
            }
        }
        assert!(before > 0 && after >= 100, "{before} before, {after} after");
        assert_eq!(verify(&connection, &tokens.access).await.status, 400);
        assert_refused(&refresh(&connection, &tokens.refresh).await, 401, "token_not_valid");
        let ended = [("event", "ended_by_logout")];
        site.gate.metrics_until("the event", |metrics| metrics.sum(EVENTS, &ended) >= 1.0).await;
        // A new login is none of it.
        let again = login(&connection).await;
        assert_eq!(get(&connection, &again.access).await, 200);
    }
}

/// A second gateway with the same database and keys.
async fn replica(site: &Site, app: &Upstream) -> Tollgate {
    let path = |relative: &str| site.gate.home.path(relative).display().to_string();
    let file = config()
        .issuer()
        .set("issuer.store", json!(format!("sqlite://{}", path("data/tollgate.db"))))
        .set("issuer.key_ring", json!(path("data/keys")))
        .route("/*", "local", app);
    Tollgate::start(file).await
}

#[tokio::test]
async fn another_replica_hears_of_a_logout_within_a_second_and_repeats_a_refresh_alike() {
    let site = Site::start().await;
    let app = Upstream::echo().await;
    let other = replica(&site, &app).await;
    let (here, there) = (site.connect().await, other.client(Protocol::Http1).connect().await);
    let first = login(&here).await;
    let second = pair(&refresh(&here, &first.refresh).await);
    let again = pair(&refresh(&there, &first.refresh).await);
    assert_eq!(crate::session::claims(&second.refresh), crate::session::claims(&again.refresh));
    assert_eq!(crate::session::claims(&second.access), crate::session::claims(&again.access));
    for access in [&first.access, &second.access, &again.access] {
        assert_eq!(get(&there, access).await, 200);
    }
    assert_eq!(logout(&here, &again.refresh).await.status, 200);
    let took = until_refused(&there, &second.access).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(get(&there, &first.access).await, 401);
    assert_eq!(refresh(&there, &second.refresh).await.status, 401);
}

#[tokio::test]
async fn what_was_ended_stays_so_after_a_restart() {
    let mut site = Site::start().await;
    let connection = site.connect().await;
    let (ended, alive) = (login(&connection).await, login(&connection).await);
    assert_eq!(logout(&connection, &ended.refresh).await.status, 200);
    for signal in ["TERM", "KILL"] {
        site.gate.restart(signal).await;
        let connection = site.connect().await;
        assert_eq!(get(&connection, &ended.access).await, 401, "{signal}");
        assert_eq!(get(&connection, &alive.access).await, 200, "{signal}");
    }
}

fn run(home: &Home, arguments: &[&str], input: &str) -> String {
    let output = home.run(&[arguments, &["--config", "gateway.yaml"]].concat(), input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn an_operator_ends_tokens_sessions_and_users_and_the_gateway_hears_within_a_second() {
    let site = Site::start().await;
    let home = &site.gate.home;
    let connection = site.connect().await;
    let soon = Duration::from_millis(1_000);

    let (one, other) = (login(&connection).await, login(&connection).await);
    assert!(run(home, &["token", "revoke"], &one.access).contains("revoked"));
    assert!(until_refused(&connection, &one.access).await < soon);
    let one = pair(&refresh(&connection, &one.refresh).await);
    let jti = crate::session::claims(&one.access)["jti"].as_str().unwrap().to_owned();
    run(home, &["token", "revoke", "--jti", &jti], "");
    assert!(until_refused(&connection, &one.access).await < soon);
    run(home, &["token", "revoke"], &one.refresh);
    assert_eq!(get(&connection, &other.access).await, 200);

    let minted = run(home, &["token", "mint", "--user", USER], "").trim().to_owned();
    assert_eq!(get(&connection, &minted).await, 200);
    let sid = crate::session::claims(&other.access)["sid"].as_str().unwrap().to_owned();
    let listed = run(home, &["user", "sessions", USER], "");
    assert!(listed.contains(&sid) && listed.lines().count() == 2, "{listed}");
    // A second on, so that the token was issued before the second of the logout.
    let issued_at = crate::session::claims(&minted)["iat"].as_u64().unwrap();
    while crate::support::now() <= issued_at {
        get(&connection, &other.access).await;
    }
    assert!(run(home, &["user", "logout", USER], "").contains("ended 2"));
    assert!(until_refused(&connection, &other.access).await < soon);
    assert_eq!(get(&connection, &minted).await, 401);
    assert_eq!(refresh(&connection, &other.refresh).await.status, 401);
    assert!(run(home, &["user", "sessions", USER], "").contains("no session"));

    let tokens = login(&connection).await;
    assert_eq!(get(&connection, &tokens.access).await, 200);
    run(home, &["user", "disable", USER], "");
    assert!(until_refused(&connection, &tokens.access).await < soon);
    assert_eq!(connection.post("/api/token/").json(credentials(USER, PASSWORD)).await.status, 401);
    run(home, &["user", "enable", USER], "");
    assert_eq!(get(&connection, &tokens.access).await, 401, "what was ended stays so");
    assert_eq!(refresh(&connection, &tokens.refresh).await.status, 401);
    let disabled_at = crate::support::now();
    while crate::support::now() <= disabled_at {
        get(&connection, &tokens.access).await;
    }
    let again = login(&connection).await;
    assert_eq!(get(&connection, &again.access).await, 200);
    let unknown = home.run(&["user", "logout", "nobody", "--config", "gateway.yaml"], "");
    assert!(!unknown.status.success() && String::from_utf8_lossy(&unknown.stderr).contains("no user"));
}

#[tokio::test]
async fn the_end_of_tokens_lasts_as_long_as_the_longest_that_an_operator_made() {
    const MONTH: u64 = 30 * 86_400;
    let site = Site::start().await;
    let home = &site.gate.home;
    let leaves_in = |printed: String| {
        let seconds = printed.split("leaves in ").nth(1).and_then(|rest| rest.split('s').next());
        seconds.and_then(|seconds| seconds.parse::<u64>().ok()).unwrap_or_else(|| panic!("{printed}"))
    };
    let usual = run(home, &["token", "mint", "--user", USER, "--lifetime", "1h"], "");
    let said = crate::session::claims(usual.trim());
    assert_eq!(said["exp"].as_u64().unwrap() - said["iat"].as_u64().unwrap(), 3_600);
    assert!(leaves_in(run(home, &["token", "revoke", "--jti", "a"], "")) < MONTH - 60);
    run(home, &["token", "mint", "--user", USER, "--lifetime", "30d"], "");
    assert!(leaves_in(run(home, &["token", "revoke", "--jti", "b"], "")) > MONTH - 60);

    let before = crate::support::now();
    run(home, &["user", "disable", USER], "");
    let file = format!("sqlite://{}", home.path("data/tollgate.db").display());
    let mut database = sqlx::SqliteConnection::connect(&file).await.unwrap();
    let kept = sqlx::query_scalar("SELECT expires_at FROM revocations WHERE kind = 'subject'");
    let until: i64 = kept.fetch_one(&mut database).await.unwrap();
    assert!(until.cast_unsigned() > before + MONTH - 60, "{until}");
}

/// The order of P-256's group less `s`: (r, n - s) is as good a signature as (r, s), and needs no key.
fn other_signature(token: &str) -> String {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let (input, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = 0;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER).rev() {
        let difference = i16::from(order) - i16::from(*byte) - borrow;
        borrow = i16::from(difference < 0);
        *byte = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn a_token_of_another_provider_is_revoked_by_its_jti_or_by_what_was_signed() {
    let idp = Idp::new(Algorithm::ES256);
    let app = Upstream::echo().await;
    let file = config().issuer().provider("idp", &idp).route("/*", "idp", &app);
    let home: Home = file.into();
    home.generate_key();
    home.add_user(USER, PASSWORD);
    let gate = Tollgate::start(home).await;
    let connection = gate.client(Protocol::Http1).connect().await;
    for jti in [Some("one"), None] {
        let mut said = crate::support::claims("ada");
        match jti {
            Some(jti) => said["jti"] = json!(jti),
            None => drop(said.as_object_mut().unwrap().remove("jti")),
        }
        let token = idp.sign(said.clone());
        let twin = other_signature(&token);
        said["note"] = json!("another token");
        said["jti"] = json!("two");
        let other = idp.sign(said);
        for token in [&token, &twin, &other] {
            assert_eq!(get(&connection, token).await, 200, "{jti:?}");
        }
        run(&gate.home, &["token", "revoke"], &token);
        assert!(until_refused(&connection, &token).await < Duration::from_secs(1));
        assert_eq!(get(&connection, &twin).await, 401, "{jti:?}");
        assert_eq!(get(&connection, &other).await, 200, "{jti:?}");
    }
}

#[tokio::test]
async fn a_user_who_is_shut_out_in_the_table_is_out_within_the_set_interval() {
    let file = |file: Config| file.set("issuer.user_poll_interval", json!("1s"));
    let site = Site::start_with(file, Home::generate_key).await;
    let connection = site.connect().await;
    let tokens = login(&connection).await;
    assert_eq!(get(&connection, &tokens.access).await, 200);
    let mut database = crate::outage::stranger(&site).await;
    sqlx::Executor::execute(&mut database, "UPDATE users SET active = 0").await.unwrap();
    let took = until_refused(&connection, &tokens.access).await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    let ended = [("event", "ended_with_user")];
    site.gate.metrics_until("the event", |metrics| metrics.sum(EVENTS, &ended) >= 1.0).await;
}

/// A gateway before whose start the database was taken away, and a token that it would take.
async fn start_without_database(change: impl FnOnce(Config) -> Config) -> (Tollgate, Upstream, String) {
    let app = Upstream::echo().await;
    let file = config().issuer().route("/*", "local", &app).open_route("/open", &app);
    let home: Home = change(file).into();
    home.generate_key();
    home.add_user(USER, PASSWORD);
    let token = run(&home, &["token", "mint", "--user", USER], "").trim().to_owned();
    fs::rename(home.path("data/tollgate.db"), home.path("away")).unwrap();
    fs::create_dir(home.path("data/tollgate.db")).unwrap();
    (Tollgate::start(home).await, app, token)
}

fn bring_back(home: &Home) {
    fs::remove_dir(home.path("data/tollgate.db")).unwrap();
    fs::rename(home.path("away"), home.path("data/tollgate.db")).unwrap();
}

#[tokio::test]
async fn until_revocations_are_loaded_only_public_routes_serve() {
    let (gate, app, token) = start_without_database(|file| file).await;
    let connection = gate.client(Protocol::Http1).connect().await;
    assert_eq!(connection.get("/open").await.status, 200);
    let answer = connection.get("/").bearer(&token).await;
    assert_refused(&answer, 503, "temporarily_unavailable");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(app.requests_seen(), 1, "only the public one");
    gate.log_line("the refusal", |line| line["reason"] == "revocations_unavailable").await;
    assert_eq!(gate.admin().get("/readyz").await.status, 503);
    assert_eq!(gate.admin().get("/healthz").await.status, 200);
    assert_eq!(gate.metrics().await.sum("tollgate_ready", &[]), 0.0);
    assert_refused(
        &connection.post("/api/token/").json(credentials(USER, PASSWORD)).await,
        503,
        "store_unavailable",
    );

    bring_back(&gate.home);
    gate.metrics_until("readiness", |metrics| metrics.sum("tollgate_ready", &[]) >= 1.0).await;
    assert_eq!(gate.admin().get("/readyz").await.status, 200);
    assert_eq!(get(&connection, &token).await, 200);
    let tokens = login(&connection).await;
    assert_eq!(get(&connection, &tokens.access).await, 200);
    let metrics = gate.metrics().await;
    assert!(metrics.sum("tollgate_revocations_synced_timestamp_seconds", &[]) > 1.7e9);
}

#[tokio::test]
async fn who_says_so_starts_without_revocations() {
    let without = |file: Config| file.set("revocations.start_without", json!(true));
    let (gate, _app, token) = start_without_database(without).await;
    let connection = gate.client(Protocol::Http1).connect().await;
    assert_eq!(get(&connection, &token).await, 200);
    assert_eq!(gate.admin().get("/readyz").await.status, 200);
    bring_back(&gate.home);
    run(&gate.home, &["token", "revoke"], &token);
    until_refused(&connection, &token).await;
}

#[tokio::test]
async fn what_is_in_memory_still_counts_when_the_database_is_gone() {
    let site = Site::start().await;
    let connection = site.connect().await;
    let (ended, alive) = (login(&connection).await, login(&connection).await);
    assert_eq!(logout(&connection, &ended.refresh).await.status, 200);
    fs::rename(site.gate.home.path("data"), site.gate.home.path("away")).unwrap();
    site.gate
        .lines_until("a word about it", |lines| {
            lines.iter().any(|line| line.contains("can't read new revocations"))
        })
        .await;
    assert_eq!((get(&connection, &ended.access).await, get(&connection, &alive.access).await), (401, 200));
    assert_eq!(site.gate.admin().get("/readyz").await.status, 200);
    fs::rename(site.gate.home.path("away"), site.gate.home.path("data")).unwrap();
    site.gate
        .lines_until("a word that it is back", |lines| {
            lines.iter().any(|line| line.contains("revocations can be read again"))
        })
        .await;
}

#[tokio::test]
async fn an_answer_says_how_long_the_token_is_still_good_where_the_route_wants_it() {
    let app =
        Upstream::start(|_| crate::support::Reply::new(200, "").field("Tollgate-Token-Expires-In", "999999"))
            .await;
    let file = config()
        .issuer()
        .push_route(json!({
            "match": { "path": "/told/*" }, "upstream": app.url(),
            "auth": { "providers": ["local"], "expires_in_header": true, "mode": "optional" },
        }))
        .route("/*", "local", &app);
    let home: Home = file.into();
    home.generate_key();
    home.add_user(USER, PASSWORD);
    let gate = Tollgate::start(home).await;
    let connection = gate.client(Protocol::Http1).connect().await;
    let tokens = login(&connection).await;
    let told = |answer: &Answer| answer.header("tollgate-token-expires-in").map(str::to_owned);
    let answer = connection.get("/told/").bearer(&tokens.access).await;
    let seconds: u64 = told(&answer).unwrap().parse().unwrap();
    assert!((290..=300).contains(&seconds), "{seconds}");
    assert_eq!(told(&connection.get("/told/").await), None);
    let answer = connection.get("/").bearer(&tokens.access).await;
    assert_eq!(told(&answer).as_deref(), Some("999999"), "it is the application's own there");
}
