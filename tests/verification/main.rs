//! Which tokens pass, from which providers, and what everybody learns of those that do not.

#![allow(clippy::unwrap_used, reason = "a helper's panic fails its test")]

mod cache;
mod keys;
mod providers;
mod refusals;
#[path = "../support/mod.rs"]
mod support;

use serde_json::{Map, Value, json};
use support::{Answer, Config, Idp, Protocol, Tollgate, Upstream, claims, config, now, token};
use tollgate::base::{Algorithm, KeyFamily};

/// One route that needs a token of the provider `idp`.
fn guarded(idp: &Idp, app: &Upstream) -> Config {
    config().provider("idp", idp).route("/*", "idp", app)
}

/// As [`guarded`], with other keys of the provider.
fn guarded_by(idp: &Idp, app: &Upstream, keys: Value) -> Config {
    guarded(idp, app).set("providers.idp.keys", keys)
}

/// The claims of an ordinary token, with these set; `null` takes one away.
#[expect(clippy::needless_pass_by_value, reason = "tests write `json!` in place")]
fn with(changes: Value) -> Value {
    let mut claims = claims("ada");
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

/// An answer's fields of one name, as an echoing upstream got them.
fn got(answer: &Answer, name: &str) -> Vec<String> {
    let body = answer.json();
    let fields = body["fields"].as_array().unwrap_or_else(|| panic!("refused: {answer:?}"));
    let same = fields.iter().filter(|field| field[0].as_str().unwrap().eq_ignore_ascii_case(name));
    same.map(|field| field[1].as_str().unwrap().to_owned()).collect()
}

/// What a client may learn of a token that is not good: nothing but that.
#[track_caller]
fn assert_says_nothing(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 401, "{what}: {answer:?}");
    assert_eq!(
        answer.header("www-authenticate"),
        Some(r#"Bearer realm="api", error="invalid_token""#),
        "{what}"
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(
        answer.text(),
        r#"{"detail":"The access token is not valid.","code":"invalid_token"}"#,
        "{what}"
    );
    let mut names: Vec<&str> = answer.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["cache-control", "content-length", "content-type", "date", "www-authenticate", "x-request-id"],
        "{what}"
    );
}

/// Each of these tokens is refused, and only the operator learns why.
async fn assert_refused(gate: &Tollgate, app: &Upstream, cases: &[(&str, String, &str)]) {
    let connection = gate.client(Protocol::Http2).connect().await;
    for (number, (what, token, reason)) in cases.iter().enumerate() {
        let path = format!("/case-{number}");
        let answer = connection.get(&path).bearer(token).await;
        assert_says_nothing(&answer, what);
        let line = gate.log_line(what, |line| line["path"] == path.as_str()).await;
        assert_eq!(line["reason"], *reason, "{what}: {line}");
        assert_eq!((&line["status"], line.get("subject")), (&json!(401), None), "{what}");
    }
    let metrics = gate.metrics().await;
    let mut expected: std::collections::BTreeMap<&str, f64> = std::collections::BTreeMap::new();
    for (_, _, reason) in cases {
        *expected.entry(reason).or_default() += 1.0;
    }
    for (reason, count) in expected {
        assert_eq!(metrics.sum("tollgate_authentications_total", &[("outcome", reason)]), count, "{reason}");
        assert_eq!(metrics.sum("tollgate_refusals_total", &[("reason", reason)]), count, "{reason}");
    }
    assert_eq!(app.requests_seen(), 0);
}
