//! The one HTTP client of the control plane: small documents, got or asked for with a form, from servers that may be
//! slow, wrong or hostile.
//!
//! Every exchange has a connection of its own, deadlines and a size limit. Redirects are never followed: where a
//! document lies is for the file to say, not for whoever answers. Which addresses may be connected to is decided on
//! the address itself, after the name was resolved and without resolving it again, so that no name, however it is
//! spelled or resolved, leads into the private network.

mod address;
mod credential;
mod exchange;
mod proxies;
mod tls;
mod tunnel;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, Uri};
use tokio::time::timeout;

use crate::base::{ByteSize, UnixTime};

pub use credential::{ClientCertificate, Credential, Origin};
pub use proxies::Proxies;
pub use tls::{ClientTlsError, client_config as tls_config};
pub use tunnel::ProxyRefusal;

/// What a client may do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientOptions {
    /// To a connection, TLS included.
    pub connect_timeout: Duration,
    /// From the start to the answer's last byte.
    pub timeout: Duration,
    /// The longest body that is read.
    pub max_body: ByteSize,
    /// Whether `http://` is taken.
    pub allow_http: bool,
    /// Whether loopback, private and link-local addresses may be connected to.
    pub allow_private_addresses: bool,
    /// The certificates, in PEM, of the only authorities to trust; `None` for those that the system trusts.
    pub ca: Option<PathBuf>,
    /// Who connects in the client's place (RFC 9110, section 9.3.6). A proxy resolves names, so that it, and not the client,
    /// decides where they may lead; addresses are looked at here all the same.
    pub proxies: Proxies,
    /// Shown to `known` servers alone.
    pub credential: Option<Credential>,
    /// Shown to `known` servers alone.
    pub client_certificate: Option<ClientCertificate>,
    /// The servers that the file names, which may learn who the client is.
    pub known: Vec<Origin>,
}

/// A client with its options and trust.
#[derive(Debug, Clone)]
pub struct Client {
    options: ClientOptions,
    tls: Arc<rustls::ClientConfig>,
    /// With the client's own certificate.
    tls_of_known: Arc<rustls::ClientConfig>,
}

/// A good answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What came.
    pub content: Content,
    /// Names this state of the document, for the next request.
    pub etag: Option<HeaderValue>,
    /// How long the server says that the answer is fresh; zero where it must not be kept.
    pub max_age: Option<Duration>,
    /// The server's clock; not of an answer that a cache kept.
    pub date: Option<UnixTime>,
}

/// The document, or that it is as it was.
#[derive(Debug, Clone)]
pub enum Content {
    /// 200: the whole body.
    New(Bytes),
    /// 304 to a request that named the `ETag` of an earlier answer.
    Unchanged,
}

/// Why there is no good answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL has no host, or another scheme.
    #[error("the URL is neither http:// nor https:// and a host")]
    Url,
    /// `http://`, which the options do not allow.
    #[error("plain http:// is not allowed (fetch.allow_http)")]
    PlainHttp,
    /// The host has no address.
    #[error("the host can't be resolved: {0}")]
    Unresolved(#[source] std::io::Error),
    /// The host leads to where the options do not allow.
    #[error("the address {0} is private, which is not allowed (fetch.allow_private_addresses)")]
    PrivateAddress(IpAddr),
    /// No connection.
    #[error("no connection: {0}")]
    Unreachable(#[source] std::io::Error),
    /// The proxy does not connect.
    #[error("the proxy refuses: {0}")]
    Proxy(ProxyRefusal),
    /// There should be a proxy, but not of a kind that can be used.
    #[error("the environment names a proxy that is not http://HOST:PORT (`fetch.proxy: none` goes without)")]
    UnusableProxy,
    /// No TLS: mostly a certificate that is not trusted.
    #[error("no TLS connection: {0}")]
    Tls(#[source] std::io::Error),
    /// No connection in time.
    #[error("no connection in time")]
    ConnectTimeout,
    /// There is no credential to send.
    #[error("the credential can't be used: {0}")]
    Credential(#[source] std::io::Error),
    /// The server may want the credential, which is not for it.
    #[error(
        "the answer has status {0}, and fetch.credential is not sent to this server (fetch.credential.also_to)"
    )]
    Withheld(StatusCode),
    /// The answer was not complete in time.
    #[error("no complete answer in time")]
    Timeout,
    /// The answer is no HTTP, or broke off.
    #[error("the answer is broken: {0}")]
    Broken(#[from] hyper::Error),
    /// The server sends elsewhere.
    #[error("the answer is a redirect ({0}), which is not followed")]
    Redirect(StatusCode),
    /// Neither 200 nor a 304 that was asked for.
    #[error("the answer has status {0}")]
    Status(StatusCode),
    /// The body is longer than the options allow.
    #[error("the answer is longer than {0} (fetch.max_body)")]
    TooLarge(ByteSize),
}

impl FetchError {
    /// One word for a metric.
    #[must_use]
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Url | Self::PlainHttp | Self::PrivateAddress(_) => "forbidden",
            Self::Unresolved(_) | Self::Unreachable(_) => "unreachable",
            Self::Proxy(_) | Self::UnusableProxy => "proxy",
            Self::Tls(_) => "tls",
            Self::ConnectTimeout | Self::Timeout => "timeout",
            Self::Broken(_) => "broken",
            Self::Redirect(_) => "redirect",
            Self::Credential(_) => "credential",
            Self::Status(_) | Self::Withheld(_) => "status",
            Self::TooLarge(_) => "too_large",
        }
    }
}

impl Client {
    /// Reads the authorities to trust, and the client's own certificate.
    ///
    /// # Errors
    /// Where `ca` or `client_certificate` can't be read or used.
    pub fn new(options: ClientOptions) -> Result<Self, ClientTlsError> {
        let tls = tls::client_config(options.ca.as_deref(), None)?;
        let tls_of_known = match &options.client_certificate {
            Some(own) => tls::client_config(options.ca.as_deref(), Some(own))?,
            None => Arc::clone(&tls),
        };
        Ok(Self { options, tls, tls_of_known })
    }

    fn knows(&self, url: &Uri) -> bool {
        Origin::of(url).is_some_and(|origin| self.options.known.contains(&origin))
    }

    /// Gets a document. With the `ETag` of an earlier answer the server may say that nothing changed.
    ///
    /// # Errors
    /// Everything that is no complete 200, or 304 where `etag` was given.
    pub async fn get(
        &self,
        url: &Uri,
        accept: &'static str,
        etag: Option<&HeaderValue>,
    ) -> Result<Answer, FetchError> {
        let exchange = exchange::get(self, url, accept, etag);
        timeout(self.options.timeout, exchange).await.unwrap_or(Err(FetchError::Timeout))
    }

    /// Posts a form, `application/x-www-form-urlencoded`, and gets the whole body of the answer.
    ///
    /// # Errors
    /// Everything that is no complete 200.
    pub async fn post_form(
        &self,
        url: &Uri,
        accept: &'static str,
        authorization: &HeaderValue,
        form: Bytes,
    ) -> Result<Bytes, FetchError> {
        let exchange = exchange::post_form(self, url, accept, authorization, form);
        timeout(self.options.timeout, exchange).await.unwrap_or(Err(FetchError::Timeout))
    }

    /// Posts a JSON document and gets the whole body of the answer.
    ///
    /// # Errors
    /// Everything that is no complete 200.
    pub async fn post_json(
        &self,
        url: &Uri,
        accept: &'static str,
        document: Bytes,
    ) -> Result<Bytes, FetchError> {
        let exchange = exchange::post_json(self, url, accept, document);
        timeout(self.options.timeout, exchange).await.unwrap_or(Err(FetchError::Timeout))
    }
}
