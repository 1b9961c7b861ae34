//! Failed logins are slowed down, and nobody else's are.

use serde_json::{Value, json};

use crate::support::{Answer, Config, Connection, Home, Protocol};
use crate::{PASSWORD, Site, USER, credentials, pair};

/// A gateway behind a proxy that tells whom it speaks for.
async fn behind_a_proxy(throttle: Value) -> Site {
    let file = |config: Config| {
        config.set("server.trusted_proxies", json!(["127.0.0.0/8"])).set("issuer.throttle", throttle)
    };
    Site::start_with(file, Home::generate_key).await
}

async fn log_in(connection: &Connection, client: &str, username: &str, password: &str) -> Answer {
    let request = connection.post("/api/token/").header("x-forwarded-for", client);
    request.json(credentials(username, password)).await
}

/// The refusals until one has to wait, and what that one got.
async fn hammer(connection: &Connection, client: &str, username: &str) -> (usize, Answer) {
    for count in 0..200 {
        let answer = log_in(connection, client, username, "a-guess").await;
        if answer.status != 401 {
            return (count, answer);
        }
    }
    panic!("never throttled");
}

fn assert_throttled(answer: &Answer) {
    assert_eq!(answer.status, 429, "{}", answer.text());
    let seconds: u64 = answer.header("retry-after").and_then(|text| text.parse().ok()).expect("seconds");
    assert!((1..=3600).contains(&seconds), "{seconds}");
    let unit = if seconds == 1 { "second" } else { "seconds" };
    let detail = format!("Request was throttled. Expected available in {seconds} {unit}.");
    assert_eq!(answer.json(), json!({ "detail": detail }));
}

#[tokio::test]
async fn a_stranger_hammering_adas_name_from_another_network_does_not_keep_ada_out() {
    let site = behind_a_proxy(json!({ "per_account": "3/1h", "per_address": "off" })).await;
    let connection = site.connect().await;
    let (count, answer) = hammer(&connection, "198.51.100.7", USER).await;
    assert_eq!(count, 3);
    assert_throttled(&answer);
    assert_throttled(&log_in(&connection, "198.51.100.7", USER, PASSWORD).await);
    assert_throttled(&log_in(&connection, "198.51.100.8", USER, PASSWORD).await);
    pair(&log_in(&connection, "203.0.113.5", USER, PASSWORD).await);
}

#[tokio::test]
async fn many_strangers_hammering_adas_name_keep_only_new_networks_waiting() {
    let throttle = json!({ "per_account": "3/1h", "per_address": "off", "account_ceiling": "7/1h" });
    let site = behind_a_proxy(throttle).await;
    let connection = site.connect().await;
    pair(&log_in(&connection, "203.0.113.5", USER, PASSWORD).await);
    let mut count = 0;
    for stranger in ["198.51.100.7", "198.51.101.7", "198.51.102.7", "198.51.103.7"] {
        let (failed, answer) = hammer(&connection, stranger, USER).await;
        count += failed;
        assert_throttled(&answer);
    }
    assert_eq!(count, 7);
    pair(&log_in(&connection, "203.0.113.77", USER, PASSWORD).await);
    assert_throttled(&log_in(&connection, "192.0.2.1", USER, PASSWORD).await);
}

#[tokio::test]
async fn the_owner_s_network_stays_known_after_a_restart() {
    let throttle = json!({ "per_account": "3/1h", "per_address": "off", "account_ceiling": "7/1h" });
    let mut site = behind_a_proxy(throttle).await;
    pair(&log_in(&site.connect().await, "203.0.113.5", USER, PASSWORD).await);
    for signal in ["TERM", "KILL"] {
        site.gate.restart(signal).await;
        let connection = site.connect().await;
        for stranger in ["198.51.100.7", "198.51.101.7", "198.51.102.7"] {
            assert_throttled(&hammer(&connection, stranger, USER).await.1);
        }
        assert_throttled(&log_in(&connection, "192.0.2.1", USER, PASSWORD).await);
        assert_eq!(log_in(&connection, "203.0.113.77", USER, "a-guess").await.status, 401);
        pair(&log_in(&connection, "203.0.113.77", USER, PASSWORD).await);
        assert_throttled(&log_in(&connection, "192.0.2.1", USER, PASSWORD).await);
        let line = site.gate.log_line("the refusal", |line| line["client"] == "192.0.2.1").await;
        assert_eq!(line["detail"], "account_ceiling", "{line}");
    }
}

#[tokio::test]
async fn an_address_is_slowed_down_whatever_names_it_tries() {
    let site = behind_a_proxy(json!({ "per_account": "off", "per_address": "4/1h" })).await;
    let connection = site.connect().await;
    for name in ["ada", "bob", "carol", "dave"] {
        assert_eq!(log_in(&connection, "2001:db8::1", name, "a-guess").await.status, 401);
    }
    assert_throttled(&log_in(&connection, "2001:db8::2", USER, PASSWORD).await);
    pair(&log_in(&connection, "2001:db8:0:1::1", USER, PASSWORD).await);

    let labels = [("endpoint", "obtain"), ("outcome", "throttled")];
    let requests = "tollgate_token_endpoint_requests_total";
    site.gate.metrics_until("the refusal", |metrics| metrics.sum(requests, &labels) >= 1.0).await;
    let line = site.gate.log_line("the refusal", |line| line["outcome"] == "throttled").await;
    assert_eq!((&line["detail"], &line["status"]), (&json!("per_address"), &json!(429)), "{line}");
    assert_eq!(line["client"], "2001:db8::2");
}

#[tokio::test]
async fn a_name_that_nobody_has_is_throttled_as_one_that_somebody_has() {
    let site = behind_a_proxy(json!({ "per_account": "3/1h", "per_address": "off" })).await;
    let connection = site.connect().await;
    let mut seen = Vec::new();
    for (client, name) in [("198.51.100.7", USER), ("198.51.101.7", "nobody")] {
        let (count, mut answer) = hammer(&connection, client, name).await;
        for differing in ["date", "x-request-id", "retry-after"] {
            answer.headers.remove(differing);
        }
        assert!(answer.text().starts_with(r#"{"detail":"Request was throttled. Expected available in "#));
        seen.push((count, answer.status, answer.headers));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_client_does_not_choose_its_own_address() {
    let file = |config: Config| {
        config.set("issuer.throttle", json!({ "per_address": "2/1h", "per_account": "off" }))
    };
    let site = Site::start_with(file, Home::generate_key).await;
    let connection = site.connect().await;
    for client in ["192.0.2.1", "192.0.2.2"] {
        assert_eq!(log_in(&connection, client, USER, "a-guess").await.status, 401);
    }
    assert_throttled(&log_in(&connection, "192.0.2.3", USER, "a-guess").await);
}

#[tokio::test]
async fn failed_logins_are_throttled_unless_the_file_says_otherwise() {
    for (file, expected) in [
        (json!({ "store": "sqlite://data/tollgate.db" }), Some(10)),
        (json!({ "store": "sqlite://data/tollgate.db", "throttle": "off" }), None),
        (
            json!({
                "store": "sqlite://data/tollgate.db", "compatibility": "simplejwt", "algorithm": "ES256",
            }),
            None,
        ),
    ] {
        let site = Site::start_with(|config| config.set("issuer", file), Home::generate_key).await;
        let connection = site.gate.client(Protocol::Http1).connect().await;
        let mut failed = 0;
        while failed < 12 && log_in(&connection, "192.0.2.1", USER, "a-guess").await.status == 401 {
            failed += 1;
        }
        assert_eq!(failed, expected.unwrap_or(12));
    }
}
