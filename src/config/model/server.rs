//! `server:` and `admin:` as meant.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::base::ByteSize;
/// `server:`: how clients reach Tollgate.
#[derive(Debug, Clone)]
pub struct Server {
    /// At least one; default plain text on `127.0.0.1:8080`.
    pub listeners: Vec<Listener>,
    /// `auto` is one per core.
    pub workers: Option<NonZeroUsize>,
    /// Peers whose `X-Forwarded-*` and `Forwarded` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long requests in flight may take to end after a stop was asked for.
    pub shutdown_grace: Duration,
    /// `limits:`.
    pub limits: Limits,
    /// `token_cache: { memory: 64MiB }`, the default; `None` for `token_cache: off`.
    pub token_cache: Option<ByteSize>,
}

/// One of `server.listeners`.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Where it listens; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Without it the listener speaks plain HTTP.
    pub tls: Option<Tls>,
}

/// `tls:` of a listener.
#[derive(Debug, Clone)]
pub struct Tls {
    /// At least one; chosen by SNI, the first is the default.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version that is spoken.
    pub minimum_version: TlsVersion,
}

/// A certificate chain and its key, both PEM.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// `server.limits`: what one client may ask of the gateway.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The request line and all header fields together; default 32KiB.
    pub request_head: ByteSize,
    /// How many header fields; default 100.
    pub request_headers: usize,
    /// The longest request body; default 16MiB.
    pub request_body: ByteSize,
    /// From the first byte of a head to its last; default 10s.
    pub header_read_timeout: Duration,
    /// From accept to the end of the TLS handshake; default 10s.
    pub tls_handshake_timeout: Duration,
    /// How long a connection may lie idle between requests, or stall in the midst of one; default 75s.
    pub idle_timeout: Duration,
    /// HTTP/2 streams of one connection at once; default 100.
    pub concurrent_streams: u32,
    /// Open client connections of all workers together; default 20000.
    pub connections: usize,
}

/// `admin:`: metrics and health, apart from the traffic.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where it listens; default `127.0.0.1:9900`.
    pub address: SocketAddr,
}
