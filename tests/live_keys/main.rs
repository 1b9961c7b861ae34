//! Keys that are fetched from a provider's server: rotated, refused, missing, late, and the server gone.

#![allow(clippy::unwrap_used, reason = "a helper's panic fails its test")]
#![allow(clippy::disallowed_methods, reason = "tests stand outside the two planes")]

mod answers;
mod clock;
mod demand;
mod discovery;
mod outage;
#[path = "../support/mod.rs"]
mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use support::{Answer, Config, Home, Idp, Message, Reply, Step, Tollgate, Upstream, claims, config, within};
use tokio::sync::Notify;
use tollgate::base::Algorithm;

/// A provider's server, whose answer can be changed while it runs.
struct KeyServer {
    server: Upstream,
    reply: Arc<Mutex<Reply>>,
}

impl KeyServer {
    async fn start(reply: Reply) -> Self {
        let reply = Arc::new(Mutex::new(reply));
        let current = Arc::clone(&reply);
        let server = Upstream::start(move |_| current.lock().unwrap().clone()).await;
        Self { server, reply }
    }

    async fn with(idps: &[&Idp]) -> Self {
        Self::start(key_set(idps)).await
    }

    fn answer(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    fn url(&self) -> String {
        format!("{}/keys", self.server.url())
    }

    fn fetches(&self) -> usize {
        self.server.requests_seen()
    }
}

fn key_set(idps: &[&Idp]) -> Reply {
    Reply::json(json!({ "keys": idps.iter().map(|idp| idp.jwk()).collect::<Vec<_>>() }))
}

/// An issuer with a name of its own.
fn idp(name: &str) -> Idp {
    let mut idp = Idp::new(Algorithm::ES256);
    idp.issuer = format!("https://{name}.example.test");
    idp
}

/// A key of the same issuer.
fn another_key(idp: &Idp) -> Idp {
    let mut other = Idp::new(Algorithm::ES256);
    other.issuer.clone_from(&idp.issuer);
    other
}

/// A provider whose keys are fetched from here, over plain HTTP on loopback.
#[expect(clippy::needless_pass_by_value, reason = "tests write `json!` in place")]
fn fetched(idp: &Idp, url: &str, refresh: Value) -> Value {
    json!({
        "issuer": idp.issuer,
        "keys": { "jwks_url": url },
        "algorithms": ["ES256"],
        "audiences": [idp.audience],
        "refresh": refresh,
        "fetch": { "timeout": "5s", "allow_http": true, "allow_private_addresses": true },
    })
}

/// Rarely enough that only what a test does starts a fetch.
fn rarely() -> Value {
    json!({ "every": "1d", "cooldown": "100ms" })
}

fn often() -> Value {
    json!({ "every": "100ms", "cooldown": "100ms" })
}

/// A gateway with one provider, `idp`, at `/`.
fn one_provider(idp: &Idp, url: &str, refresh: Value, app: &Upstream) -> Config {
    config().set("providers.idp", fetched(idp, url, refresh)).route("/*", "idp", app)
}

async fn ask(gate: &Tollgate, idp: &Idp) -> Answer {
    gate.get("/").bearer(&idp.sign(claims("ada"))).await
}

/// Asks with a fresh token again and again.
async fn until_status(gate: &Tollgate, idp: &Idp, status: u16) -> Answer {
    within(&format!("an answer {status}"), async {
        loop {
            let answer = ask(gate, idp).await;
            if answer.status == status {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

async fn until_fetched(gate: &Tollgate, provider: &str, outcome: &str, times: f64) {
    let labels = [("provider", provider), ("outcome", outcome)];
    gate.metrics_until(&format!("{outcome} of {provider}"), |metrics| {
        metrics.sum("tollgate_key_fetches_total", &labels) >= times
    })
    .await;
}

async fn fetches_so_far(gate: &Tollgate, outcome: &str) -> f64 {
    gate.metrics().await.sum("tollgate_key_fetches_total", &[("outcome", outcome)])
}

/// What is no key set, and the word for it.
fn bad_replies(elsewhere: &Upstream) -> Vec<(&'static str, Reply)> {
    let secret =
        json!({ "keys": [{ "kty": "oct", "kid": "a", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr8" }] });
    vec![
        ("status", Reply::new(500, "")),
        ("status", Reply::new(404, key_set(&[&idp("id")]).body)),
        ("redirect", Reply::new(302, "").field("Location", &format!("{}/keys", elsewhere.url()))),
        ("no_key_set", Reply::new(200, "<!doctype html><title>Maintenance</title>")),
        ("no_key_set", Reply::json(json!({ "issuer": "https://id.example.test" }))),
        ("no_usable_key", Reply::json(json!({ "keys": [] }))),
        ("no_usable_key", Reply::json(secret)),
        ("too_large", Reply::new(200, vec![b' '; 10 << 20])),
        ("status", Reply::new(304, "")),
    ]
}

/// More than any answer may have, with no end in sight.
fn endless_body() -> Step {
    let chunk = " ".repeat(0x100_000);
    Step::send(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n{chunk}\r\n"))
}

/// None of these providers gets keys, each for its reason, and the good one beside them has its own.
async fn assert_no_keys_come(bad: Vec<(&str, Idp, Value)>, good: (&Idp, &KeyServer), app: &Upstream) {
    let (good, key_server) = good;
    let mut file = config().set("providers.good", fetched(good, &key_server.url(), rarely()));
    file = file.route("/good", "good", app);
    let name = |number: usize| format!("bad-{number}");
    for (number, (_, _, provider)) in bad.iter().enumerate() {
        let (name, mut provider) = (name(number), provider.clone());
        provider["fetch"]["timeout"] = "500ms".into();
        file = file.set(&format!("providers.{name}"), provider).route(&format!("/{name}"), &name, app);
    }
    let gate = Tollgate::start(file).await;
    for (number, (outcome, idp, _)) in bad.iter().enumerate() {
        let name = name(number);
        until_fetched(&gate, &name, outcome, 2.0).await;
        let answer = gate.get(&format!("/{name}")).bearer(&idp.sign(claims("ada"))).await;
        assert_eq!(answer.status, 503, "{name}");
    }
    assert_eq!(gate.get("/good").bearer(&good.sign(claims("ada"))).await.status, 200);
}
