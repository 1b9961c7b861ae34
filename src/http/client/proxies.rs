//! Through which proxy a server is reached: the one that the file names, or those of the environment.
//!
//! `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` mean what they mean to curl and to Go's programs; where those
//! differ, a leading dot changes nothing (curl), and loopback is never reached through a proxy (Go).

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use super::FetchError;
use super::exchange::Target;

/// Which proxy, by the URL that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proxies {
    http: Way,
    https: Way,
    except: Vec<Exception>,
    spare_loopback: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Way {
    Direct,
    Through(Proxy),
    /// There should be a proxy. To go without it would be against somebody's will.
    Unusable,
}

/// A proxy that connects (RFC 9110, section 9.3.6).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Proxy {
    /// `http://HOST:PORT`
    pub(super) url: Uri,
    pub(super) authorization: Option<HeaderValue>,
}

/// An entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Exception {
    /// `*`
    Everything,
    /// An address, or a network of them.
    Network(IpNet, Option<u16>),
    /// A host, and all below it. In lower case, without a dot at either end.
    Domain(String, Option<u16>),
}

impl Proxies {
    /// No proxy at all.
    #[must_use]
    pub const fn none() -> Self {
        Self { http: Way::Direct, https: Way::Direct, except: Vec::new(), spare_loopback: false }
    }

    /// This one, `http://HOST:PORT`, for everything.
    #[must_use]
    pub fn through(url: &Uri) -> Self {
        let way = Way::Through(Proxy { url: url.clone(), authorization: None });
        Self { http: way.clone(), https: way, except: Vec::new(), spare_loopback: false }
    }

    /// As the environment says: the proxies for `http://` and `https://`, and a list of exceptions. One that is empty is as
    /// if it were not set.
    #[must_use]
    pub fn of_environment(http: Option<&[u8]>, https: Option<&[u8]>, no: &str) -> Self {
        let entries = no.split(|c: char| c == ',' || c.is_ascii_whitespace());
        let except = entries.filter_map(Exception::read).collect();
        Self { http: Way::of_variable(http), https: Way::of_variable(https), except, spare_loopback: true }
    }

    /// The proxy to this target, if it is not reached directly.
    pub(super) fn choose(&self, target: &Target<'_>) -> Result<Option<&Proxy>, FetchError> {
        let way = if target.tls { &self.https } else { &self.http };
        if matches!(way, Way::Direct) {
            return Ok(None);
        }
        let host = target.host.strip_suffix('.').unwrap_or(target.host).to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        let is_loopback = address.map_or(host == "localhost", |address| address.is_loopback());
        let is_excepted = self.except.iter().any(|entry| entry.covers(&host, address, target.port));
        if (self.spare_loopback && is_loopback) || is_excepted {
            return Ok(None);
        }
        match way {
            Way::Direct => Ok(None),
            Way::Through(proxy) => Ok(Some(proxy)),
            Way::Unusable => Err(FetchError::UnusableProxy),
        }
    }
}

impl Way {
    fn of_variable(value: Option<&[u8]>) -> Self {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return Self::Direct };
        std::str::from_utf8(value).ok().and_then(Proxy::read).map_or(Self::Unusable, Self::Through)
    }
}

impl Proxy {
    /// `http://USER:PASSWORD@HOST:PORT`, of which only the host must be there.
    fn read(text: &str) -> Option<Self> {
        let url: Uri = match text.contains("://") {
            true => text.parse().ok()?,
            false => format!("http://{text}").parse().ok()?,
        };
        let bare = url.path() == "/" && url.query().is_none();
        if url.scheme_str() != Some("http") || !bare || url.host()?.is_empty() {
            return None;
        }
        let authority = url.authority()?.as_str();
        let (user, host) =
            authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        // A port beyond all ports is left in the text.
        if url.port_u16().is_none() && Some(host) != url.host() {
            return None;
        }
        Some(Self { url: format!("http://{host}/").parse().ok()?, authorization: user.and_then(basic) })
    }
}

/// RFC 7617; in the URL both parts are percent-encoded.
fn basic(user: &str) -> Option<HeaderValue> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let decoded = |text| Zeroizing::new(percent_decode_str(text).collect::<Vec<u8>>());
    let pair = Zeroizing::new([decoded(name).as_slice(), b":", &decoded(password)].concat());
    let field = Zeroizing::new(format!("Basic {}", STANDARD.encode(&pair)));
    let mut value = HeaderValue::from_str(&field).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Exception {
    fn read(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self::Everything);
        }
        if let Ok(network) = entry.parse() {
            return Some(Self::Network(network, None));
        }
        if let Ok(address) = entry.parse::<IpAddr>() {
            return Some(Self::Network(address.into(), None));
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (entry, None),
        };
        let unbracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = unbracketed.parse::<IpAddr>() {
            return Some(Self::Network(address.into(), port));
        }
        let domain = host.strip_prefix('*').unwrap_or(host).trim_matches('.').to_ascii_lowercase();
        (!domain.is_empty()).then_some(Self::Domain(domain, port))
    }

    fn covers(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        let same_port = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match self {
            Self::Everything => true,
            Self::Network(network, wanted) => {
                address.is_some_and(|address| network.contains(&address)) && same_port(wanted)
            }
            Self::Domain(domain, wanted) => {
                let below = host.strip_suffix(domain.as_str());
                address.is_none()
                    && below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
                    && same_port(wanted)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `direct`, the proxy, or that there is none that could be used.
    fn way(proxies: &Proxies, url: &str) -> String {
        let url: Uri = url.parse().unwrap();
        match proxies.choose(&Target::of(&url).unwrap()) {
            Ok(None) => "direct".to_owned(),
            Ok(Some(proxy)) => proxy.url.authority().unwrap().to_string(),
            Err(_) => "unusable".to_owned(),
        }
    }

    fn of_environment(http: &str, https: &str, no: &str) -> Proxies {
        Proxies::of_environment(Some(http.as_bytes()), Some(https.as_bytes()), no)
    }

    #[test]
    fn each_scheme_has_its_own_proxy_and_an_empty_one_is_none() {
        let proxies = of_environment("plain:3128", "http://secure:3129/", "");
        assert_eq!(way(&proxies, "http://a.test/"), "plain:3128");
        assert_eq!(way(&proxies, "https://a.test/"), "secure:3129");
        assert_eq!(way(&of_environment("", "http://secure", ""), "http://a.test/"), "direct");
        assert_eq!(way(&of_environment("", "http://secure", ""), "https://a.test/"), "secure");
        assert_eq!(way(&Proxies::of_environment(None, None, ""), "https://a.test/"), "direct");
        assert_eq!(
            way(&of_environment("", "http://[2001:db8::1]:3128", ""), "https://a.test/"),
            "[2001:db8::1]:3128"
        );
    }

    #[test]
    fn what_can_not_be_used_is_not_passed_by() {
        for value in [
            "socks5://a:1080",
            "https://a:3128",
            "http://",
            "http://a b",
            "http://a/path",
            "a:99999",
            "ftp://a",
        ] {
            assert_eq!(way(&of_environment("", value, "b.test"), "https://a.test/"), "unusable", "{value}");
            assert_eq!(way(&of_environment("", value, "b.test"), "https://b.test/"), "direct", "{value}");
        }
    }

    #[test]
    fn loopback_is_reached_directly_whatever_the_environment_says() {
        let proxies = of_environment("proxy:1", "proxy:1", "");
        for url in [
            "http://localhost:8080/",
            "http://LOCALHOST/",
            "https://127.0.0.1/",
            "https://127.9.9.9/",
            "https://[::1]:1/",
        ] {
            assert_eq!(way(&proxies, url), "direct", "{url}");
        }
        assert_eq!(way(&proxies, "https://localhost.example.test/"), "proxy:1");
        let given = Proxies::through(&"http://proxy:1".parse().unwrap());
        assert_eq!(way(&given, "https://127.0.0.1/"), "proxy:1", "the file says so");
    }

    #[test]
    fn exceptions_are_hosts_with_all_below_them_ports_addresses_networks_and_everything() {
        let direct = |no: &str, url: &str| way(&of_environment("proxy:1", "proxy:1", no), url) == "direct";
        for no in [
            "example.com",
            ".example.com",
            "*.example.com",
            "EXAMPLE.com.",
            "a.test , example.com",
            "a.test example.com",
        ] {
            for url in ["https://example.com/", "https://id.Example.com/", "https://a.b.example.com.:8443/"] {
                assert!(direct(no, url), "{no} {url}");
            }
            for url in ["https://notexample.com/", "https://example.com.evil.test/", "https://com/"] {
                assert!(!direct(no, url), "{no} {url}");
            }
        }
        assert!(direct("example.com:8443", "https://id.example.com:8443/"));
        assert!(!direct("example.com:8443", "https://id.example.com/"));
        assert!(direct("example.com:443", "https://id.example.com/"));
        for (no, url) in [
            ("10.0.0.9", "https://10.0.0.9/"),
            ("10.0.0.0/8", "https://10.255.0.1:8443/"),
            ("10.0.0.9:8443", "https://10.0.0.9:8443/"),
            ("2001:db8::/32", "https://[2001:db8::1]/"),
            ("2001:db8::1", "https://[2001:db8:0::1]/"),
            ("[2001:db8::1]:443", "https://[2001:db8::1]/"),
            ("10.0.0.0/8", "https://[::ffff:10.0.0.1]/"),
            ("*", "https://a.test/"),
            ("b.test,*", "https://10.0.0.1/"),
        ] {
            assert!(direct(no, url), "{no} {url}");
        }
        for (no, url) in [
            ("10.0.0.9", "https://10.0.0.90/"),
            ("10.0.0.9:8443", "https://10.0.0.9/"),
            ("10.0.0.0/8", "https://host-of-10.0.0.1.test/"),
            ("0.0.9", "https://10.0.0.9/"),
            ("", "https://a.test/"),
            (",, ,.", "https://a.test/"),
            ("a.test:x", "https://a.test/"),
        ] {
            assert!(!direct(no, url), "{no} {url}");
        }
    }

    #[test]
    fn a_name_and_password_go_to_the_proxy_and_are_never_printed() {
        let proxies = of_environment("", "http://me:pass%40word@proxy:3128", "");
        let url: Uri = "https://a.test".parse().unwrap();
        let proxy = proxies.choose(&Target::of(&url).unwrap()).unwrap().unwrap();
        assert_eq!(proxy.url, "http://proxy:3128/");
        let field = proxy.authorization.as_ref().unwrap();
        let pair = STANDARD.decode(field.to_str().unwrap().strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!(pair, b"me:pass@word");
        let shown = format!("{proxies:?}");
        assert!(!shown.contains("pass") && !shown.contains("Basic"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_environment_makes_it_panic(proxy in ".{0,40}", no in ".{0,40}", host in "[a-z0-9.\\[\\]:-]{1,20}") {
            let proxies = of_environment(&proxy, &proxy, &no);
            if let Ok(url) = format!("https://{host}/").parse::<Uri>()
                && let Ok(target) = Target::of(&url)
            {
                let _ = proxies.choose(&target);
            }
        }
    }
}
