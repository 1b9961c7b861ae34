//! What reaches an upstream and what does not, whatever a client writes: hosts, paths, limits, deadlines, framing.

mod deadlines;
mod framing;
mod hosts;
mod limits;
mod paths;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use support::{
    Answer, Client, Config, Idp, Message, Protocol, Reply, Step, Tollgate, Upstream, claims, config, within,
};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tollgate::base::Algorithm;

/// All paths are open and lead to `app`.
fn open(app: &Upstream) -> Config {
    config().open_route("/*", app)
}

/// The answer to these bytes, on a connection of their own; `None` where the gateway closes instead.
async fn answer_to(gate: &Tollgate, bytes: impl AsRef<[u8]>) -> Option<Message> {
    let mut raw = gate.raw().await;
    raw.send(bytes).await;
    raw.answer().await
}

/// Asks for this target, with a Host that is in order.
async fn ask_for(gate: &Tollgate, target: &str) -> Message {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    answer_to(gate, request).await.expect("an answer")
}

/// The one form of all refusals: a status, and a JSON body of exactly two members.
#[track_caller]
fn assert_refused(answer: &Message, status: u16, code: &str) {
    assert_eq!(answer.status(), status, "{}", answer.text());
    assert_error_body(&answer.json(), code);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[track_caller]
fn assert_refusal(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_error_body(&answer.json(), code);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[track_caller]
fn assert_error_body(body: &Value, code: &str) {
    let members: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["detail", "code"]);
    assert_eq!(body["code"], code);
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
}

/// Whatever was on its way to the upstream has arrived once this returns.
async fn settle(gate: &Tollgate, app: &Upstream) -> Vec<Message> {
    let answer = ask_for(gate, "/fence").await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    app.requests().into_iter().filter(|request| request.target() != "/fence").collect()
}
