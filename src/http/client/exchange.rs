//! One exchange, from the URL to the answer's last byte.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, AGE, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, DATE, ETAG, HOST, IF_NONE_MATCH,
    USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::address::is_public;
use super::{Answer, Client, ClientOptions, Content, FetchError, tunnel};
use crate::base::UnixTime;

/// How large the head of an answer may be.
const ANSWER_HEAD: usize = 64 * 1024;
/// A longer `ETag` is not sent back.
const LONGEST_ETAG: usize = 1024;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Where a URL leads.
pub(super) struct Target<'u> {
    pub(super) tls: bool,
    pub(super) host: &'u str,
    pub(super) port: u16,
}

impl<'u> Target<'u> {
    pub(super) fn of(url: &'u Uri) -> Result<Self, FetchError> {
        let tls = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(FetchError::Url),
        };
        let host = url.host().ok_or(FetchError::Url)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { tls, host, port })
    }
}

/// See [`Client::get`].
pub(super) async fn get(
    client: &Client,
    url: &Uri,
    accept: &'static str,
    etag: Option<&HeaderValue>,
) -> Result<Answer, FetchError> {
    let mut request = request(url, accept)?;
    if let Some(etag) = etag {
        request.headers_mut().insert(IF_NONE_MATCH, etag.clone());
    }
    let Some(credential) = &client.options.credential else { return send(client, url, request).await };
    if client.knows(url) {
        request.headers_mut().insert(AUTHORIZATION, credential.authorization().await?);
        return send(client, url, request).await;
    }
    send(client, url, request).await.map_err(|error| match error {
        FetchError::Status(status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)) => {
            FetchError::Withheld(status)
        }
        error => error,
    })
}

/// See [`Client::post_form`].
pub(super) async fn post_form(
    client: &Client,
    url: &Uri,
    accept: &'static str,
    authorization: &HeaderValue,
    form: Bytes,
) -> Result<Bytes, FetchError> {
    let mut request = request(url, accept)?;
    *request.method_mut() = Method::POST;
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, authorization.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    *request.body_mut() = Full::new(form);
    match send(client, url, request).await?.content {
        Content::New(body) => Ok(body),
        // Nobody asked for it.
        Content::Unchanged => Err(FetchError::Status(StatusCode::NOT_MODIFIED)),
    }
}

/// See [`Client::post_json`].
pub(super) async fn post_json(
    client: &Client,
    url: &Uri,
    accept: &'static str,
    document: Bytes,
) -> Result<Bytes, FetchError> {
    let mut request = request(url, accept)?;
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(credential) = client.options.credential.as_ref().filter(|_| client.knows(url)) {
        request.headers_mut().insert(AUTHORIZATION, credential.authorization().await?);
    }
    *request.body_mut() = Full::new(document);
    match send(client, url, request).await?.content {
        Content::New(body) => Ok(body),
        // Nobody asked for it.
        Content::Unchanged => Err(FetchError::Status(StatusCode::NOT_MODIFIED)),
    }
}

async fn send(client: &Client, url: &Uri, request: Request<Full<Bytes>>) -> Result<Answer, FetchError> {
    let target = Target::of(url)?;
    if !target.tls && !client.options.allow_http {
        return Err(FetchError::PlainHttp);
    }
    let tls = if client.knows(url) { &client.tls_of_known } else { &client.tls };
    let connecting = connect(client, tls, &target);
    let stream = timeout(client.options.connect_timeout, connecting)
        .await
        .unwrap_or(Err(FetchError::ConnectTimeout))?;
    let conditional = request.headers().contains_key(IF_NONE_MATCH);
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(ANSWER_HEAD).handshake(TokioIo::new(stream)).await?;
    let mut exchange = pin!(async move {
        let answer = sender.send_request(request).await?;
        read(answer, &client.options, conditional).await
    });
    let mut connection = pin!(connection);
    let mut open = true;
    // Both on one task, so that whoever gives up the exchange closes the connection with it. What goes wrong with the
    // connection, the exchange learns.
    poll_fn(|context| {
        if open && connection.as_mut().poll(context).is_ready() {
            open = false;
        }
        match exchange.as_mut().poll(context) {
            // The exchange may have waited for what the connection has just read.
            Poll::Pending if open && connection.as_mut().poll(context).is_ready() => {
                open = false;
                exchange.as_mut().poll(context)
            }
            polled => polled,
        }
    })
    .await
}

async fn connect(
    client: &Client,
    tls: &Arc<rustls::ClientConfig>,
    target: &Target<'_>,
) -> Result<Box<dyn Stream>, FetchError> {
    let allow_private = client.options.allow_private_addresses;
    let stream = match client.options.proxies.choose(target)? {
        None => {
            let addresses = addresses(target, allow_private).await?;
            TcpStream::connect(addresses.as_slice()).await.map_err(FetchError::Unreachable)?
        }
        Some(proxy) => {
            if let Ok(address) = target.host.parse::<IpAddr>()
                && !allow_private
                && !is_public(address)
            {
                return Err(FetchError::PrivateAddress(address));
            }
            tunnel::open(proxy, target).await?
        }
    };
    if !target.tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(target.host).map_err(|_| FetchError::Url)?.to_owned();
    let connector = TlsConnector::from(Arc::clone(tls));
    let stream = connector.connect(name, stream).await.map_err(FetchError::Tls)?;
    Ok(Box::new(stream))
}

/// The addresses that may be connected to. They are used as they are: a name is resolved once.
async fn addresses(target: &Target<'_>, allow_private: bool) -> Result<Vec<SocketAddr>, FetchError> {
    let found: Vec<SocketAddr> = match target.host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, target.port)],
        Err(_) => lookup_host((target.host, target.port)).await.map_err(FetchError::Unresolved)?.collect(),
    };
    let allowed = |address: &SocketAddr| allow_private || is_public(address.ip());
    match found.iter().find(|address| !allowed(address)) {
        // One private address among public ones is a trap, or a mistake: neither deserves a try.
        Some(private) => Err(FetchError::PrivateAddress(private.ip())),
        None => Ok(found),
    }
}

fn request(url: &Uri, accept: &'static str) -> Result<Request<Full<Bytes>>, FetchError> {
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::new(Full::default());
    *request.uri_mut() = path.parse().map_err(|_| FetchError::Url)?;
    let authority = url.authority().ok_or(FetchError::Url)?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(authority.as_str()).map_err(|_| FetchError::Url)?);
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    let agent = concat!("tollgate/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

async fn read(
    answer: Response<Incoming>,
    options: &ClientOptions,
    conditional: bool,
) -> Result<Answer, FetchError> {
    let (head, body) = answer.into_parts();
    let content = match head.status {
        StatusCode::OK => Content::New(whole(body, options).await?),
        StatusCode::NOT_MODIFIED if conditional => Content::Unchanged,
        StatusCode::NOT_MODIFIED => return Err(FetchError::Status(head.status)),
        status if status.is_redirection() => return Err(FetchError::Redirect(status)),
        status => return Err(FetchError::Status(status)),
    };
    let etag = head.headers.get(ETAG).filter(|etag| etag.len() <= LONGEST_ETAG).cloned();
    Ok(Answer { content, etag, max_age: max_age(&head.headers), date: date(&head.headers) })
}

async fn whole(mut body: Incoming, options: &ClientOptions) -> Result<Bytes, FetchError> {
    let too_large = || FetchError::TooLarge(options.max_body);
    if body.size_hint().lower() > options.max_body.0 {
        return Err(too_large());
    }
    let limit = usize::try_from(options.max_body.0).unwrap_or(usize::MAX);
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else { continue };
        if piece.len() > limit - read.len() {
            return Err(too_large());
        }
        read.extend_from_slice(&piece);
    }
    Ok(read.freeze())
}

/// How long the answer stays fresh (RFC 9111, sections 4.2 and 5.2.2), as far as a cache of one's own is concerned.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut max_age = None;
    for field in headers.get_all(CACHE_CONTROL) {
        for directive in field.to_str().unwrap_or_default().split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => return Some(Duration::ZERO),
                "max-age" => {
                    max_age =
                        value.trim().trim_matches('"').parse().ok().map(Duration::from_secs).or(max_age);
                }
                _ => {}
            }
        }
    }
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.trim().parse().ok());
    max_age.map(|max_age| max_age.saturating_sub(Duration::from_secs(age.unwrap_or(0))))
}

fn date(headers: &HeaderMap) -> Option<UnixTime> {
    if headers.contains_key(AGE) {
        return None;
    }
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since_epoch.as_secs()).ok().map(UnixTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age_of(fields: &[(http::HeaderName, &'static str)]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_static(value));
        }
        max_age(&headers).map(|age| age.as_secs())
    }

    #[test]
    fn reads_how_long_an_answer_stays_fresh() {
        assert_eq!(age_of(&[]), None);
        assert_eq!(age_of(&[(CACHE_CONTROL, "public, max-age=300")]), Some(300));
        assert_eq!(age_of(&[(CACHE_CONTROL, "public"), (CACHE_CONTROL, "Max-Age=\"60\"")]), Some(60));
        assert_eq!(age_of(&[(CACHE_CONTROL, "max-age=300"), (AGE, "250")]), Some(50));
        assert_eq!(age_of(&[(CACHE_CONTROL, "max-age=300"), (AGE, "900")]), Some(0));
        assert_eq!(age_of(&[(CACHE_CONTROL, "max-age=300, no-store")]), Some(0));
        assert_eq!(age_of(&[(CACHE_CONTROL, "max-age=-1")]), None);
        assert_eq!(age_of(&[(CACHE_CONTROL, "s-maxage=5, max-age=99999999999999999999999")]), None);
    }

    #[test]
    fn finds_where_a_url_leads() {
        let target = |url: &str| {
            let url: Uri = url.parse().unwrap();
            Target::of(&url).map(|target| (target.tls, target.host.to_owned(), target.port)).ok()
        };
        assert_eq!(target("https://id.example.com/a?b"), Some((true, "id.example.com".into(), 443)));
        assert_eq!(target("http://[::1]:8080/"), Some((false, "::1".into(), 8080)));
        assert_eq!(target("ftp://a/"), None);
        assert_eq!(target("/a"), None);
    }

    #[tokio::test]
    async fn the_address_decides_whatever_the_host_is_called() {
        for host in ["127.0.0.1", "localhost", "::1", "169.254.169.254"] {
            let target = Target { tls: true, host, port: 443 };
            let refused = addresses(&target, false).await;
            assert!(matches!(refused, Err(FetchError::PrivateAddress(_))), "{host}: {refused:?}");
            assert!(addresses(&target, true).await.is_ok(), "{host}");
        }
    }
}
