//! `upstreams:` as meant.

use std::time::Duration;

use http::HeaderValue;

use crate::base::UpstreamName;
/// One of `upstreams:`.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its key in the file, or the URL.
    pub name: UpstreamName,
    /// Where requests go.
    pub target: UpstreamTarget,
    /// `timeouts:`.
    pub timeouts: UpstreamTimeouts,
    /// `host:` replaces `Host` as received.
    pub host: Option<HeaderValue>,
}

/// What answers for an upstream.
#[derive(Debug, Clone)]
pub enum UpstreamTarget {
    /// `endpoints: [http://HOST:PORT]`.
    Http {
        /// A name or an address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// `builtin: echo`: shows the request that it got.
    Echo,
}

/// `timeouts:` of an upstream.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamTimeouts {
    /// To a connection; default 2s.
    pub connect: Duration,
    /// From the request's last byte to the answer's head; default 30s.
    pub response: Duration,
    /// Between two pieces of a body, and for a connection without work; default 60s.
    pub idle: Duration,
}
