//! `server:` and `admin:`: where the gateway listens, and what one client may ask of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

use crate::base::ByteSize;

use super::mistake::MistakeKind;
use super::model::{Admin, CertificateFiles, Limits, Listener, Server, Tls, TlsVersion};
use super::walk::{Node, Section};
use super::written::Value;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// A client on a slow line still gets through; a person at a terminal does not wait longer.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(86_400);

const DEFAULT_LISTENER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);
const DEFAULT_SHUTDOWN_GRACE: Duration = Duration::from_secs(30);

const DEFAULT_LIMITS: Limits = Limits {
    request_head: ByteSize(32 * KIB),
    request_headers: 100,
    request_body: ByteSize(16 * MIB),
    header_read_timeout: Duration::from_secs(10),
    tls_handshake_timeout: Duration::from_secs(10),
    idle_timeout: Duration::from_secs(75),
    concurrent_streams: 100,
    connections: 20_000,
};

/// Tens of thousands of tokens.
const DEFAULT_TOKEN_CACHE: ByteSize = ByteSize(64 * MIB);

/// The addresses that are listened on, so that none is taken twice.
#[derive(Debug)]
pub(super) struct Addresses {
    /// Only loopback addresses may be taken.
    development: bool,
    taken: Vec<SocketAddr>,
}

impl Addresses {
    /// None yet.
    pub(super) fn new(development: bool) -> Self {
        Self { development, taken: Vec::new() }
    }

    /// Whether a second listener would get a part of what a first one is meant to get.
    fn is_taken(&self, address: SocketAddr) -> bool {
        address.port() != 0
            && self.taken.iter().any(|taken| {
                let (one, other) = (taken.ip(), address.ip());
                let covers_all =
                    one.is_ipv4() == other.is_ipv4() && (one.is_unspecified() || other.is_unspecified());
                taken.port() == address.port() && (one == other || covers_all)
            })
    }

    fn take(&mut self, node: &Node<'_>) -> Option<SocketAddr> {
        let address = node.socket_address()?;
        if self.development && !address.ip().is_loopback() {
            return node.refuse_with(
                MistakeKind::NotLoopback(node.shown()),
                "anyone who reaches it could use the demo user: listen on 127.0.0.1, or leave development off",
            );
        }
        if self.is_taken(address) {
            return node.refuse(MistakeKind::AddressTaken(node.shown()));
        }
        self.taken.push(address);
        Some(address)
    }
}

/// Reads `server:`.
pub(super) fn read(node: &Node<'_>, addresses: &mut Addresses) -> Option<Server> {
    node.section(|section| {
        let listeners = match section.key("listeners") {
            Some(node) => node.filled_list("at least one listener", |node| listener(node, addresses)),
            None => Some(vec![default_listener(addresses)]),
        };
        let workers = section.optional("workers", workers).flatten();
        let trusted_proxies =
            section.optional("trusted_proxies", |node| node.list(network)).unwrap_or_default();
        let shutdown_grace = section
            .optional("shutdown_grace", |node| node.duration(Duration::ZERO..=Duration::from_secs(3600)))
            .unwrap_or(DEFAULT_SHUTDOWN_GRACE);
        let limits = section.optional("limits", |node| node.section(limits)).unwrap_or(DEFAULT_LIMITS);
        let token_cache = section.optional("token_cache", token_cache).unwrap_or(Some(DEFAULT_TOKEN_CACHE));
        Some(Server { listeners: listeners?, workers, trusted_proxies, shutdown_grace, limits, token_cache })
    })
}

/// `server:` of a file that says nothing about it.
pub(super) fn default(addresses: &mut Addresses) -> Server {
    Server {
        listeners: vec![default_listener(addresses)],
        workers: None,
        trusted_proxies: Vec::new(),
        shutdown_grace: DEFAULT_SHUTDOWN_GRACE,
        limits: DEFAULT_LIMITS,
        token_cache: Some(DEFAULT_TOKEN_CACHE),
    }
}

/// Plain text needs no certificate, and on loopback nobody else reads it.
fn default_listener(addresses: &mut Addresses) -> Listener {
    addresses.taken.push(DEFAULT_LISTENER);
    Listener { address: DEFAULT_LISTENER, tls: None }
}

/// Reads `admin:`. `off` is no listener; nothing said is the default one.
pub(super) fn read_admin(node: &Node<'_>, addresses: &mut Addresses) -> Option<Option<Admin>> {
    if is_off(node)? {
        return Some(None);
    }
    node.section(|section| {
        let address = match section.key("address") {
            Some(node) => addresses.take(&node),
            None => default_admin(node, addresses),
        };
        section.not_available(&["token"]);
        Some(Some(Admin { address: address? }))
    })
}

/// Whether a section is switched off; YAML's older readers make a truth value of `off`.
fn is_off(node: &Node<'_>) -> Option<bool> {
    match node.value() {
        Value::Bool(false) => Some(true),
        Value::Text(_) if node.text("off, or a section")? == "off" => Some(true),
        Value::Map(_) | Value::Nothing => Some(false),
        _ => node.expected("off, or a section"),
    }
}

/// `token_cache:` as how much it may hold; `None`: off.
fn token_cache(node: &Node<'_>) -> Option<Option<ByteSize>> {
    if is_off(node)? {
        return Some(None);
    }
    node.section(|section| {
        let range = ByteSize(MIB)..=ByteSize(64 << 30);
        Some(Some(section.optional("memory", |node| node.size(range)).unwrap_or(DEFAULT_TOKEN_CACHE)))
    })
}

/// The admin listener of a file that says nothing about it.
pub(super) fn default_admin(node: &Node<'_>, addresses: &mut Addresses) -> Option<SocketAddr> {
    if addresses.is_taken(DEFAULT_ADMIN) {
        return node.refuse_key(
            MistakeKind::AddressTaken(DEFAULT_ADMIN.to_string()),
            Some("it is the admin listener's own; set admin.address, or write `admin: off`".to_owned()),
        );
    }
    addresses.taken.push(DEFAULT_ADMIN);
    Some(DEFAULT_ADMIN)
}

fn listener(node: &Node<'_>, addresses: &mut Addresses) -> Option<Listener> {
    node.section(|section| {
        let address = section.required("address", |node| addresses.take(node));
        let tls = section.optional("tls", tls);
        section.not_available(&["redirect_to_https"]);
        Some(Listener { address: address?, tls })
    })
}

fn tls(node: &Node<'_>) -> Option<Tls> {
    node.section(|section| {
        let certificates = section.required("certificates", |node| {
            node.filled_list("at least one certificate with its key", certificate)
        });
        let versions = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
        let minimum_version =
            section.optional("minimum_version", |node| node.choice(&versions)).unwrap_or(TlsVersion::Tls12);
        section.not_available(&["client_certificates", "acme"]);
        Some(Tls { certificates: certificates?, minimum_version })
    })
}

fn certificate(node: &Node<'_>) -> Option<CertificateFiles> {
    node.section(|section| {
        let certificate = section.required("certificate", |node| node.file_path("the path of a PEM file"));
        let key = section.required("key", |node| node.file_path("the path of a PEM file"));
        Some(CertificateFiles { certificate: certificate?, key: key? })
    })
}

fn workers(node: &Node<'_>) -> Option<Option<NonZeroUsize>> {
    match node.value() {
        Value::Text(_) if node.text("auto or a number")? == "auto" => Some(None),
        Value::Text(_) | Value::Number(_) => {
            let number = node.integer(1..=1024)?;
            Some(NonZeroUsize::new(usize::try_from(number).unwrap_or(usize::MAX)))
        }
        _ => node.expected("auto or a number"),
    }
}

fn network(node: &Node<'_>) -> Option<IpNet> {
    let network = node.parse("an address or a network such as 10.0.0.0/8", |text| {
        text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    })?;
    if network.prefix_len() == 0 {
        node.warn("believes every client that claims to be another one");
    }
    Some(network.trunc())
}

fn limits(section: &Section<'_, '_>) -> Option<Limits> {
    let size = |name, range: RangeInclusive<u64>, default| {
        let range = ByteSize(*range.start())..=ByteSize(*range.end());
        section.optional(name, |node| node.size(range)).unwrap_or(default)
    };
    let duration =
        |name, range, default| section.optional(name, |node| node.duration(range)).unwrap_or(default);
    let count = |name, range| section.optional(name, |node| node.integer(range));
    let default = DEFAULT_LIMITS;
    Some(Limits {
        request_head: size("request_head", KIB..=MIB, default.request_head),
        request_headers: count("request_headers", 8..=1_000)
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(default.request_headers),
        request_body: size("request_body", 1..=MIB * MIB, default.request_body),
        header_read_timeout: duration("header_read_timeout", TIMEOUT, default.header_read_timeout),
        tls_handshake_timeout: duration("tls_handshake_timeout", TIMEOUT, default.tls_handshake_timeout),
        idle_timeout: duration("idle_timeout", *TIMEOUT.start()..=DAY, default.idle_timeout),
        concurrent_streams: count("concurrent_streams", 1..=10_000)
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(default.concurrent_streams),
        connections: count("connections", 1..=1_000_000)
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(default.connections),
    })
}
