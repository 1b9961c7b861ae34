//! What the operator sees and does: start, metrics, health, the log, TLS, stop.

#![allow(clippy::unwrap_used, reason = "a helper's panic fails its test")]

mod admin;
mod log;
mod start;
mod stop;
#[path = "../support/mod.rs"]
mod support;
mod tls;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Instant;

use http::Method;
use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use support::{Config, Idp, Protocol, RawConnection, Step, Tollgate, Upstream, claims, config, within};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tollgate::base::Algorithm;

fn open(app: &Upstream) -> Config {
    config().open_route("/*", app)
}
