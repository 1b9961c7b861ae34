//! The harness itself: what it would overlook, every other test would.

mod support;

use futures_util::FutureExt;
use jsonwebtoken::{DecodingKey, Validation, decode};
use serde_json::{Value, json};
use std::panic::AssertUnwindSafe;
use std::process::Command;
use std::sync::Arc;
use support::{
    Client, FORGED, Idp, Message, Metrics, Process, Protocol, Reply, Step, Upstream, claims, holds_token,
    listening, server_missing, trial,
};
use tokio::sync::Notify;
use tollgate::base::Algorithm;

fn plain(upstream: &Upstream) -> Client {
    Client::new(upstream.address(), None, Protocol::Http1)
}

#[tokio::test]
async fn an_upstream_records_what_came_byte_by_byte() {
    let app = Upstream::echo().await;
    let mut raw = plain(&app).raw().await;
    raw.send("POST /a?b HTTP/1.1\r\nhOsT: x\r\nTransfer-Encoding: chunked\r\n\r\n3;q\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").await;
    let answer: Message = raw.answer().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json()["body"], "abcde");
    assert_eq!(answer.json()["fields"][0], json!(["hOsT", "x"]));

    raw.send("GET /second HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(raw.answer().await.unwrap().json()["target"], "/second");
    assert_eq!(app.requests_seen(), 2);
    assert_eq!(app.connections_seen(), 1);
    let first = app.request(1).await;
    assert!(first.text().ends_with("3;q\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), "{}", first.text());
    assert!(first.complete);
}

#[tokio::test]
async fn an_upstream_that_saw_a_forged_header_fails_its_test() {
    let app = Upstream::echo().await;
    plain(&app).get("/").header("X-User-Id", FORGED).await;
    let dropped = std::panic::catch_unwind(AssertUnwindSafe(|| drop(app)));
    assert!(dropped.is_err(), "the forged header went unnoticed");

    let app = Upstream::echo().await.allow_forged();
    plain(&app).get("/").header("X-User-Id", FORGED).await;
}

#[tokio::test]
async fn an_upstream_whose_handler_panics_fails_its_test() {
    let app = Upstream::start(|_| panic!("no such case")).await;
    plain(&app).get("/").try_send().await.unwrap_err();
    let dropped = std::panic::catch_unwind(AssertUnwindSafe(|| drop(app)));
    assert!(dropped.is_err(), "the panic went unnoticed");
}

#[tokio::test]
async fn a_client_refuses_an_identity_header_that_upstreams_could_not_recognize() {
    let app = Upstream::echo().await;
    let sent =
        AssertUnwindSafe(async { plain(&app).get("/").header("x_user.ID", "7").await }).catch_unwind().await;
    assert!(sent.is_err());
}

#[tokio::test]
async fn a_script_can_stop_in_the_midst_of_a_body() {
    let word = Arc::new(Notify::new());
    let app = Upstream::scripted([
        Step::Read,
        Step::send("HTTP/1.1 200 \r\nContent-Length: 10\r\n\r\nabc"),
        Step::Await(Arc::clone(&word)),
        Step::Reset,
    ])
    .await;
    let mut raw = plain(&app).raw().await;
    raw.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    app.request(1).await;
    word.notify_one();
    let answer = raw.answer().await.unwrap();
    assert!(!answer.complete);
    assert_eq!(answer.body, b"abc");
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let app = Upstream::start(|_| Reply::new(204, "")).await;
    let connection = plain(&app).connect().await;
    for _ in 0..3 {
        assert_eq!(connection.get("/").await.status, 204);
    }
    assert_eq!((app.connections_seen(), app.requests_seen()), (1, 3));
}

#[tokio::test]
async fn a_process_tells_its_lines_and_its_status() {
    let process =
        Process::start("sh", Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"]), "KILL");
    let two = process.find("two", |lines| lines.iter().find(|line| *line == "two").cloned()).await;
    assert_eq!(two.as_deref(), Some("two"));
    assert_eq!(process.find("three", |lines| lines.iter().position(|line| line == "three")).await, None);
    let finished = process.finish().await;
    assert_eq!(finished.status.code(), Some(3));
    assert_eq!(finished.lines.len(), 2);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "here it is the oracle for the tokens of the harness")]
fn an_idp_signs_what_another_library_verifies() {
    for algorithm in Algorithm::ALL {
        // The other library knows no P-521.
        if algorithm == Algorithm::ES512 {
            continue;
        }
        let idp = Idp::new(algorithm);
        let token = idp.sign(claims("ada"));
        let key = if algorithm.name().starts_with("HS") {
            DecodingKey::from_secret(idp.secret().as_bytes())
        } else {
            DecodingKey::from_jwk(&serde_json::from_value(idp.jwk()).unwrap()).unwrap()
        };
        let mut validation = Validation::new(algorithm.name().parse().unwrap());
        validation.set_audience(&[&idp.audience]);
        validation.set_issuer(&[&idp.issuer]);
        let read =
            decode::<Value>(&token, &key, &validation).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        assert_eq!(read.claims["sub"], "ada");

        if !algorithm.name().starts_with("HS") {
            let pem = idp.public_pem();
            let key = match &algorithm.name()[..2] {
                "ES" => DecodingKey::from_ec_pem(pem.as_bytes()),
                "Ed" => DecodingKey::from_ed_pem(pem.as_bytes()),
                _ => DecodingKey::from_rsa_pem(pem.as_bytes()),
            };
            decode::<Value>(&token, &key.unwrap(), &validation).unwrap();
        }
    }
}

#[test]
fn metrics_are_read_with_their_labels() {
    let metrics = Metrics::parse(
        "# HELP a b\n# TYPE a counter\na{route=\"x\\\"y\",status=\"200\"} 2\na{route=\"z\",status=\"200\"} 3e0\nb 1\n",
    );
    assert!((metrics.sum("a", &[("status", "200")]) - 5.0).abs() < f64::EPSILON);
    assert!((metrics.sum("a", &[("route", "x\"y")]) - 2.0).abs() < f64::EPSILON);
    assert!(metrics.has("b", &[]) && !metrics.has("b", &[("route", "z")]));
}

#[test]
fn the_place_of_a_listener_is_read() {
    let found = listening("listening on https://127.0.0.1:4711 (server.listeners[0])").unwrap();
    assert_eq!(found.address, "127.0.0.1:4711".parse().unwrap());
    assert!(found.tls);
    assert_eq!(found.what, "server.listeners[0]");
    assert_eq!(listening("listening on http://[::1]:80 (admin)").unwrap().what, "admin");
    assert_eq!(listening("it is listening on http://[::1]:80 (admin)"), None);
}

#[test]
fn a_token_in_a_line_is_noticed() {
    let token = support::token("{\"a\":1}", "{}", |_| vec![0; 32]);
    assert!(holds_token(&format!(r#"{{"authorization":"Bearer {token}"}}"#)));
    assert!(!holds_token(r#"{"path":"/eyJ.html","sub":"eyJeyJ"}"#));
}

#[test]
fn a_missing_server_ignores_its_test_and_says_so() {
    let reason = server_missing("no-such-program-anywhere").unwrap();
    assert_eq!(server_missing("sh"), None);
    // What the runner is told where the environment demands all servers is seen in `scripts/test`.
    if std::env::var_os("TOLLGATE_REQUIRE_SERVERS").is_none() {
        let trial = trial("asks_a_server", Some(&reason), || unreachable!());
        assert!(trial.has_ignored_flag());
        assert!(trial.kind().contains("no-such-program-anywhere"));
    }
    assert!(!trial("asks_a_server", None, || ()).has_ignored_flag());
}
