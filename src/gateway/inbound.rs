//! A request as it came, and what it must be before anybody looks at its meaning.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::rc::Rc;

use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, request};
use hyper::body::Incoming;

use super::activity::OpenRequest;
use super::request_id::X_REQUEST_ID;
use super::snapshot::Snapshot;
use crate::config::AllowInPath;
use crate::http::{
    BadHost, ClientPath, InjectedNames, Oddities, Refusal, client_path, forwarded_element,
    host_told_by_proxy, normalize, request_host,
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");

/// What the gateway itself tells of each request's way, in no spelling believed of a client.
static WRITTEN_ANEW: [HeaderName; 5] =
    [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, FORWARDED, X_REQUEST_ID];

/// A CGI program takes it for its own setting `HTTP_PROXY`.
static PROXY: HeaderName = HeaderName::from_static("proxy");

/// What applications believe of a proxy before them. Of a client that reaches the gateway directly it is a lie: about
/// its address, or about the path that was checked.
static PROXIES_WORD: [HeaderName; 8] = [
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-scheme"),
    HeaderName::from_static("x-forwarded-ssl"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

/// The fields that are removed from every request, in every spelling.
#[derive(Debug)]
pub(super) struct Removed {
    of_clients: InjectedNames,
    of_trusted_proxies: InjectedNames,
}

impl Removed {
    /// `identity` are the headers that routes inject.
    pub(super) fn new<'n>(identity: impl Iterator<Item = &'n HeaderName> + Clone) -> Self {
        let always = identity.chain(&WRITTEN_ANEW).chain([&PROXY]);
        Self {
            of_trusted_proxies: InjectedNames::new(always.clone()),
            of_clients: InjectedNames::new(always.chain(&PROXIES_WORD)),
        }
    }

    fn strip(&self, client: &ClientPath, headers: &mut HeaderMap) {
        if client.by_trusted_proxy { &self.of_trusted_proxies } else { &self.of_clients }.strip(headers);
    }
}

/// The connection that a request came by.
#[derive(Debug)]
pub struct Client {
    peer: SocketAddr,
    secure: bool,
    /// The headers of the way so far, for the host that was asked for last: nearly always the same one.
    way: RefCell<Option<(ClientPath, HeaderValue, Rc<Way>)>>,
}

/// How a request came to the gateway, as the upstream is told.
#[derive(Debug)]
struct Way {
    address: HeaderValue,
    forwarded: HeaderValue,
}

impl Client {
    /// A connection from this peer.
    #[must_use]
    pub fn new(peer: SocketAddr, secure: bool) -> Self {
        Self { peer, secure, way: RefCell::default() }
    }

    /// The address of whoever is at the other end.
    pub(super) fn peer(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }

    fn way(&self, path: &ClientPath, host: &HeaderValue) -> Rc<Way> {
        let mut known = self.way.borrow_mut();
        if let Some((known_path, known_host, way)) = &*known
            && known_path == path
            && known_host == host
        {
            return Rc::clone(way);
        }
        let host_text = host.to_str().unwrap_or_default();
        let value =
            |text: String| HeaderValue::from_str(&text).expect("addresses and checked hosts are visible");
        let way = Rc::new(Way {
            address: value(path.address.to_string()),
            forwarded: value(forwarded_element(path.address, host_text, path.secure)),
        });
        *known = Some((path.clone(), host.clone(), Rc::clone(&way)));
        way
    }
}

/// A request fresh from hyper, with the token that its connection is busy.
#[derive(Debug)]
pub struct Inbound {
    /// Head and body.
    pub request: Request<Incoming>,
    /// Dropped when the answer is through.
    pub open: OpenRequest,
}

/// A request with one reading: its path, host and client are settled, and no header is left that an upstream could
/// take for one of the gateway's own.
#[derive(Debug)]
pub(super) struct CleanRequest {
    pub(super) head: request::Parts,
    pub(super) body: Incoming,
    pub(super) client: ClientPath,
    /// As received, or as its authority says.
    pub(super) host: HeaderValue,
    /// What a trusted proxy was asked for, where that is told.
    host_at_proxy: Option<HeaderValue>,
    host_name: Range<usize>,
    /// What the router compares; `None`: the path of the head's URI as it stands.
    key: Option<String>,
    rewritten: Option<String>,
    oddities: Oddities,
}

impl CleanRequest {
    /// The host name that routes compare.
    pub(super) fn host_name(&self) -> &str {
        // The range was taken from this very text, all of it ASCII.
        self.host.to_str().ok().and_then(|host| host.get(self.host_name.clone())).unwrap_or_default()
    }

    /// The path that routes compare.
    pub(super) fn key(&self) -> &str {
        self.key.as_deref().unwrap_or_else(|| self.head.uri.path())
    }

    /// Whether the route lets everything through that this path holds.
    pub(super) fn is_allowed_by(&self, allow: AllowInPath) -> bool {
        (allow.encoded_slash || !self.oddities.encoded_slash)
            && (allow.double_encoding || !self.oddities.double_encoding)
            && (allow.parameters || !self.oddities.parameters)
    }

    /// Path and query as the upstream gets them.
    pub(super) fn forwarded_uri(&mut self) -> Uri {
        let uri = std::mem::take(&mut self.head.uri);
        if self.rewritten.is_none() && uri.authority().is_none() {
            return uri;
        }
        let path_and_query = match (self.rewritten.take(), uri.query()) {
            (None, _) => uri.path_and_query().cloned(),
            (Some(path), None) => path.parse().ok(),
            (Some(path), Some(query)) => format!("{path}?{query}").parse().ok(),
        };
        path_and_query.map(Uri::from).expect("a normal path with the query that came is well formed")
    }

    /// Tells the upstream how the request came, and nothing of what the client itself said of that.
    pub(super) fn describe_way(&mut self, client: &Client) {
        let host = self.host_at_proxy.as_ref().unwrap_or(&self.host);
        let way = client.way(&self.client, host);
        let proto = HeaderValue::from_static(if self.client.secure { "https" } else { "http" });
        let headers = &mut self.head.headers;
        headers.insert(X_FORWARDED_FOR, way.address.clone());
        headers.insert(X_FORWARDED_PROTO, proto);
        headers.insert(X_FORWARDED_HOST, host.clone());
        headers.insert(FORWARDED, way.forwarded.clone());
    }
}

/// Settles what can be read in more than one way, or refuses.
///
/// # Errors
/// 400 for what is malformed or ambiguous, 405 for methods of proxies and debuggers, 413 and 431 for what is too large.
pub(super) fn clean(
    snapshot: &Snapshot,
    client: &Client,
    request: Request<Incoming>,
) -> Result<CleanRequest, Refusal> {
    let (mut head, body) = request.into_parts();
    if head.method == Method::CONNECT || head.method == Method::TRACE {
        let allow = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        return Err(Refusal::MethodNotAllowed { allow });
    }
    let limits = &snapshot.limits;
    if head.headers.len() > limits.request_headers || head_size(&head) > limits.request_head.0 {
        return Err(Refusal::HeadTooLarge);
    }
    let host = request_host(&head.headers, &head.uri).map_err(Refusal::BadHost)?;
    let host_name = host.name_range();
    let host = match head.headers.get(HOST) {
        Some(value) => value.clone(),
        None => HeaderValue::from_str(host.received()).map_err(|_| Refusal::BadHost(BadHost::Malformed))?,
    };
    let path = normalize(head.uri.path()).map_err(Refusal::AmbiguousPath)?;
    let oddities = path.oddities();
    let (key, rewritten) = path.into_key_and_rewritten();
    if declared_length(&head.headers).is_some_and(|length| length > limits.request_body.0) {
        return Err(Refusal::BodyTooLarge);
    }
    let client = client_path(client.peer, client.secure, &head.headers, &snapshot.trusted_proxies);
    let host_at_proxy = host_told_by_proxy(&client, &head.headers);
    snapshot.removed.strip(&client, &mut head.headers);
    Ok(CleanRequest { head, body, client, host, host_at_proxy, host_name, key, rewritten, oddities })
}

/// The bytes of the head as HTTP/1.1 writes it.
fn head_size(head: &request::Parts) -> u64 {
    let line = head.method.as_str().len() + target_length(&head.uri) + 12;
    let fields: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    (line + fields) as u64
}

fn target_length(uri: &Uri) -> usize {
    uri.path_and_query().map_or(1, |target| target.as_str().len())
        + uri.authority().map_or(0, |authority| authority.as_str().len())
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `Host` for the upstream: as received, unless the file replaces it.
pub(super) fn set_host(headers: &mut HeaderMap, received: &HeaderValue, replacement: Option<&HeaderValue>) {
    match replacement {
        Some(host) => {
            headers.insert(HOST, host.clone());
        }
        None if headers.contains_key(HOST) => {}
        None => {
            headers.insert(HOST, received.clone());
        }
    }
}
