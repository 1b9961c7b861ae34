//! Who the client is when other proxies stand before the gateway (`X-Forwarded-*`; RFC 7239).

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use super::authority::is_authority;

/// What the gateway believes of a request's way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientPath {
    /// The client's address: the peer's, or the last one that a trusted proxy did not vouch for.
    pub address: IpAddr,
    /// Whether the client itself spoke TLS.
    pub secure: bool,
    /// Whether a trusted proxy stands between, whose word on other things counts too.
    pub by_trusted_proxy: bool,
}

/// The client of a connection from `peer`. Inbound fields count only where the peer is a trusted proxy, and
/// are read from the right: everything left of the first untrusted address is hearsay.
#[must_use]
pub fn client_path(peer: SocketAddr, secure: bool, headers: &HeaderMap, trusted: &[IpNet]) -> ClientPath {
    let peer = peer.ip().to_canonical();
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if trusted.is_empty() || !is_trusted(&peer) {
        return ClientPath { address: peer, secure, by_trusted_proxy: false };
    }
    let mut address = peer;
    let fields: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    for hop in fields.iter().rev().flat_map(|field| field.rsplit(',')) {
        let Some(hop) = parse_hop(hop) else { break };
        address = hop;
        if !is_trusted(&hop) {
            break;
        }
    }
    // The nearest proxy's word: the last field, its last element.
    let proto = headers.get_all("x-forwarded-proto").iter().next_back().and_then(|value| value.to_str().ok());
    let secure = match proto.and_then(|proto| proto.rsplit(',').next()).map(str::trim) {
        Some(proto) if proto.eq_ignore_ascii_case("https") => true,
        Some(proto) if proto.eq_ignore_ascii_case("http") => false,
        _ => secure,
    };
    ClientPath { address, secure, by_trusted_proxy: true }
}

/// The host that the client asked a trusted proxy for, if that says so: the last element of the last field.
#[must_use]
pub fn host_told_by_proxy(client: &ClientPath, headers: &HeaderMap) -> Option<HeaderValue> {
    if !client.by_trusted_proxy {
        return None;
    }
    let field = headers.get_all("x-forwarded-host").iter().next_back()?.to_str().ok()?;
    let host = field.rsplit(',').next()?.trim();
    is_authority(host).then(|| HeaderValue::from_str(host).ok()).flatten()
}

/// An address with or without port or brackets, as proxies write them.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .or_else(|_| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>());
    address.ok().map(|address| address.to_canonical())
}

/// One element of `Forwarded` (RFC 7239, section 4), with IPv6 addresses in quotes and brackets.
#[must_use]
pub fn forwarded_element(client: IpAddr, host: &str, secure: bool) -> String {
    let proto = if secure { "https" } else { "http" };
    let mut element = match client {
        IpAddr::V4(address) => format!("for={address}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\""),
    };
    element.push_str(";host=\"");
    element.push_str(host);
    element.push_str("\";proto=");
    element.push_str(proto);
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, fields: &[(&'static str, &'static str)]) -> ClientPath {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().expect("a network")];
        client_path(peer.parse().expect("an address"), false, &headers, &trusted)
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let path =
            client("192.0.2.1:5", &[("x-forwarded-for", "198.51.100.9"), ("x-forwarded-proto", "https")]);
        assert_eq!(
            path,
            ClientPath {
                address: "192.0.2.1".parse().expect("an address"),
                secure: false,
                by_trusted_proxy: false
            }
        );
    }

    #[test]
    fn a_trusted_proxy_names_the_client_and_older_hops_are_hearsay() {
        let path = client(
            "10.0.0.1:5",
            &[
                ("x-forwarded-for", "203.0.113.66, 198.51.100.9"),
                ("x-forwarded-for", "10.0.0.2"),
                ("x-forwarded-proto", "https"),
            ],
        );
        assert_eq!(
            path,
            ClientPath {
                address: "198.51.100.9".parse().expect("an address"),
                secure: true,
                by_trusted_proxy: true
            }
        );
    }

    #[test]
    fn only_a_trusted_proxy_tells_the_host_that_was_asked_for() {
        let told = |by_trusted_proxy, field: &'static str| {
            let address = "192.0.2.1".parse().expect("an address");
            let mut headers = HeaderMap::new();
            headers.append("x-forwarded-host", HeaderValue::from_static(field));
            host_told_by_proxy(&ClientPath { address, secure: true, by_trusted_proxy }, &headers)
        };
        assert_eq!(told(true, "hearsay.example, shop.example:8443").expect("a host"), "shop.example:8443");
        for field in ["", "a b", "user@a", "a/b"] {
            assert_eq!(told(true, field), None, "{field:?}");
        }
        assert_eq!(told(false, "shop.example"), None);
    }

    #[test]
    fn stops_at_what_is_no_address() {
        assert_eq!(
            client("10.0.0.1:5", &[("x-forwarded-for", "1.2.3.4, unknown, 10.0.0.3")]).address.to_string(),
            "10.0.0.3"
        );
        assert_eq!(
            client("10.0.0.1:5", &[("x-forwarded-for", "[2001:db8::1]:99")]).address.to_string(),
            "2001:db8::1"
        );
        assert_eq!(client("10.0.0.1:5", &[]).address.to_string(), "10.0.0.1");
    }

    #[test]
    fn writes_an_element_of_rfc_7239() {
        let v4 = "192.0.2.1".parse().expect("an address");
        let v6 = "2001:db8::1".parse().expect("an address");
        assert_eq!(forwarded_element(v4, "a:8443", true), "for=192.0.2.1;host=\"a:8443\";proto=https");
        assert_eq!(forwarded_element(v6, "a", false), "for=\"[2001:db8::1]\";host=\"a\";proto=http");
    }
}
