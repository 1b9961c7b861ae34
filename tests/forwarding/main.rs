//! A request's way to its upstream and the answer's way back, as a real application needs it.

#![allow(clippy::unwrap_used, reason = "a helper's panic fails its test")]

mod answers;
mod connections;
mod fields;
mod streaming;
#[path = "../support/mod.rs"]
mod support;
mod way;

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use support::{
    Config, FORGED, Idp, Message, Protocol, RawConnection, Reply, Step, Tollgate, Upstream, claims, config,
    within,
};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tollgate::base::Algorithm;

/// All paths are open and lead to `app`.
fn open(app: &Upstream) -> Config {
    config().open_route("/*", app)
}

/// As [`open`], with settings of the upstream.
#[expect(clippy::needless_pass_by_value, reason = "tests write `json!` in place")]
fn open_with(app: &Upstream, settings: Value) -> Config {
    let mut upstream = json!({ "endpoints": [app.url()] });
    upstream.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    config()
        .set("upstreams", json!({ "app": upstream }))
        .push_route(json!({ "match": { "path": "/*" }, "auth": "none", "upstream": "app" }))
}

/// An upstream that answers the only request of each connection with these bytes, and then does `after`.
async fn answering(bytes: &str, after: Step) -> Upstream {
    let bytes = match bytes.split_once("\r\n") {
        Some((status, rest)) if status.ends_with("200 OK") && !rest.contains("Connection:") => {
            format!("{status}\r\nConnection: close\r\n{rest}")
        }
        _ => bytes.to_owned(),
    };
    Upstream::scripted([Step::Read, Step::send(&bytes), after]).await
}

async fn ask(raw: &mut RawConnection, head: &str) -> Message {
    raw.send(head).await;
    raw.answer().await.expect("an answer")
}

/// The fields of this name in what an echoing upstream got.
fn got(answer: &Value, name: &str) -> Vec<String> {
    let fields = answer["fields"].as_array().expect("fields");
    let same = fields.iter().filter(|field| field[0].as_str().unwrap().eq_ignore_ascii_case(name));
    same.map(|field| field[1].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_built_in_application_shows_the_request_that_an_upstream_would_get() {
    let idp = Idp::new(Algorithm::EdDSA);
    let gate = Tollgate::start(
        config().provider("idp", &idp).set("upstreams", json!({ "echo": { "builtin": "echo" } })).push_route(
            json!({ "match": { "path": "/*" }, "auth": { "providers": ["idp"] }, "upstream": "echo" }),
        ),
    )
    .await;
    for protocol in Protocol::BOTH {
        let request =
            gate.client(protocol).post("/a/../b?c=d").host("shop.example").header("x-user-id", FORGED);
        let shown = request.bearer(&idp.sign(claims("ada"))).body("hello").await.json();
        assert_eq!(
            (&shown["method"], &shown["path"], &shown["query"], &shown["body_length"]),
            (&json!("POST"), &json!("/b"), &json!("c=d"), &json!(5))
        );
        let headers = &shown["headers"];
        assert_eq!((&headers["host"], &headers["x-user-id"]), (&json!("shop.example"), &json!("ada")));
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers.get("authorization"), None);
        assert_eq!(gate.client(protocol).get("/b").await.status, 401);
    }
}
