//! The one harness of the integration tests: the real binary, an upstream that records, clients that trust the
//! test's own CA, and an identity provider that signs anything. Each takes one line to start and ends when dropped.
//!
//! - All ports are chosen by the system, all files lie in private folders: tests run side by side.
//! - Waiting is for an event, with one generous deadline ([`within`]); nothing sleeps and hopes.
//! - A mistake noticed by a helper fails the test, at the latest when the helper is dropped. Some are looked for
//!   without being asked: a client's forged identity header at an upstream ([`FORGED`]), a panic or a token in
//!   what the gateway prints.
//!
//! ```ignore
//! let idp = Idp::new(Algorithm::RS256);
//! let app = Upstream::echo().await;
//! let gate = Tollgate::start(config().provider("idp", &idp).route("/*", "idp", &app)).await;
//! let answer = gate.get("/").bearer(&idp.sign(claims("ada"))).await;
//! assert_eq!(answer.status, 200);
//! ```

#![allow(dead_code, unused_imports, reason = "each test binary takes only a part")]
#![allow(unreachable_pub, reason = "one folder, a module of each test binary")]
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::print_stderr,
    reason = "a helper's panic fails its test; what the gateway printed belongs beside the failure"
)]
#![allow(clippy::disallowed_methods, reason = "tests stand outside the two planes and read the clock")]

mod client;
mod config;
mod databases;
mod directory;
mod idp;
mod meaning;
mod message;
mod metrics;
mod process;
mod servers;
mod tls;
mod tollgate;
mod upstream;

use std::time::Duration;

pub use client::{Answer, Client, Connection, Protocol, RawConnection, Request, Streaming};
pub use config::{Config, Home, config};
pub use databases::{DatabaseKind, DatabaseServer};
pub use directory::{Directory, directory_missing};
pub use idp::{Idp, claims, now, token};
pub use meaning::meaning;
pub use message::Message;
pub use metrics::Metrics;
pub use process::{Finished, Process};
pub use servers::{environment, server_missing, trial};
pub use tls::{Authority, Issued};
pub use tollgate::{Handshake, Tollgate, holds_token, listening};
pub use upstream::{Reply, Step, Upstream};

/// Runs a test that is a trial of its own, on its thread.
pub fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// The value that a test gives to each identity header that a client makes up. An upstream that sees it, under
/// whatever name, fails the test; the harness's clients refuse to send an identity header with another value.
pub const FORGED: &str = "forged-by-the-client";

/// Far beyond what anything here takes, even on a crowded machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for `future`; fails the test, naming `what` it waited for, when the deadline passes.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} in vain for {what}"),
    }
}
