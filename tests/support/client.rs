//! Clients of the gateway, over HTTP/1.1 and HTTP/2, and as bytes where framing is the matter.

use std::convert::Infallible;
use std::fmt;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::message::{Message, Unframed};
use super::tls::Authority;
use super::{FORGED, within};

/// The name that clients connect to, which the test's certificate holds.
const SERVER_NAME: &str = "localhost";

type RequestBody = BoxBody<Bytes, Infallible>;

/// Which protocol a client offers by ALPN, and speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// Both, for what must not differ.
    pub const BOTH: [Self; 2] = [Self::Http1, Self::Http2];
}

/// Where a server is and how it is spoken to. Each request gets a connection of its own.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    tls: Option<Arc<rustls::ClientConfig>>,
    protocol: Protocol,
}

/// One connection, for any number of requests. HTTP/1.1 sends them in turn, HTTP/2 at once.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    sender: Sender,
}

#[derive(Clone)]
enum Sender {
    Http1(Arc<Mutex<http1::SendRequest<RequestBody>>>),
    Http2(http2::SendRequest<RequestBody>),
}

/// A request in the making; `.await` sends it.
pub struct Request {
    client: Client,
    connection: Option<Connection>,
    method: Method,
    path: String,
    authority: Option<String>,
    headers: HeaderMap,
    body: RequestBody,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// An answer whose head has come and whose body comes piece by piece.
#[derive(Debug)]
pub struct Streaming {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    body: Incoming,
    _connection: Connection,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Client {
    /// A client of this server; over TLS where an authority is given, to trust it alone.
    pub fn new(address: SocketAddr, authority: Option<&Authority>, protocol: Protocol) -> Self {
        let alpn: &[u8] = match protocol {
            Protocol::Http1 => b"http/1.1",
            Protocol::Http2 => b"h2",
        };
        Self { address, tls: authority.map(|authority| authority.client(&[alpn])), protocol }
    }

    /// A GET on a connection of its own.
    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    /// A POST on a connection of its own.
    pub fn post(&self, path: &str) -> Request {
        self.request(Method::POST, path)
    }

    /// Any request on a connection of its own.
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request::new(self.clone(), None, method, path)
    }

    /// A connection for many requests.
    pub async fn connect(&self) -> Connection {
        let stream = TokioIo::new(self.stream().await);
        let sender = match self.protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await.unwrap();
                tokio::spawn(connection);
                Sender::Http1(Arc::new(Mutex::new(sender)))
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
                tokio::spawn(connection);
                Sender::Http2(sender)
            }
        };
        Connection { client: self.clone(), sender }
    }

    /// A connection on which the test itself writes bytes.
    pub async fn raw(&self) -> RawConnection {
        RawConnection { stream: BufReader::new(self.stream().await) }
    }

    async fn stream(&self) -> Box<dyn Stream> {
        within("a connection", async {
            let stream = TcpStream::connect(self.address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let Some(tls) = &self.tls else { return Box::new(stream) as Box<dyn Stream> };
            let name = ServerName::try_from(SERVER_NAME).unwrap();
            let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.unwrap();
            assert_eq!(
                stream.get_ref().1.alpn_protocol(),
                tls.alpn_protocols.first().map(Vec::as_slice),
                "the server agrees to the protocol that was offered",
            );
            Box::new(stream)
        })
        .await
    }
}

impl Connection {
    /// A GET on this connection.
    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    /// A POST on this connection.
    pub fn post(&self, path: &str) -> Request {
        self.request(Method::POST, path)
    }

    /// Any request on this connection.
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request::new(self.client.clone(), Some(self.clone()), method, path)
    }

    async fn send(&self, request: http::Request<RequestBody>) -> hyper::Result<http::Response<Incoming>> {
        match &self.sender {
            Sender::Http1(sender) => {
                let mut sender = sender.lock().await;
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                let mut sender = sender.clone();
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

impl Request {
    fn new(client: Client, connection: Option<Connection>, method: Method, path: &str) -> Self {
        let path = path.to_owned();
        let body = Full::new(Bytes::new()).boxed();
        Self { client, connection, method, path, authority: None, headers: HeaderMap::new(), body }
    }

    /// One more header field. An identity header must carry [`FORGED`], so that upstreams can tell.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let folded: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let folded = folded.to_ascii_lowercase();
        if folded.starts_with("xuser") || folded.starts_with("xauth") {
            assert_eq!(value, FORGED, "{name}: forged identity headers carry `FORGED`");
        }
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        self
    }

    /// The token, by RFC 6750, section 2.1.
    pub fn bearer(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    /// `Host`, or `:authority`, in place of the server's own.
    pub fn host(self, host: &str) -> Self {
        self.header(HOST.as_str(), host)
    }

    /// An `:authority`, or a target in absolute form, that need not agree with `Host`.
    pub fn authority(mut self, authority: &str) -> Self {
        self.authority = Some(authority.to_owned());
        self
    }

    /// A JSON body.
    #[expect(clippy::needless_pass_by_value, reason = "tests write `json!` in place")]
    pub fn json(self, value: Value) -> Self {
        self.header(CONTENT_TYPE.as_str(), "application/json").body(value.to_string())
    }

    /// Any body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Full::new(body.into()).boxed();
        self
    }

    /// A body that comes piece by piece, up to the end of the channel, and whose length nobody knows before.
    pub fn pieces(mut self, mut pieces: mpsc::Receiver<Bytes>) -> Self {
        let frames = futures_util::stream::poll_fn(move |context| {
            pieces.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
        });
        self.body = BodyExt::boxed(StreamBody::new(frames));
        self
    }

    /// Sends it; an error where the answer does not come to its end.
    pub async fn try_send(self) -> hyper::Result<Answer> {
        within("an answer", async {
            let (answer, _connection) = self.begin().await?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer { status: head.status, version: head.version, headers: head.headers, body })
        })
        .await
    }

    /// Sends it while the test goes on.
    pub fn spawn(self) -> JoinHandle<Answer> {
        tokio::spawn(self.into_future())
    }

    /// Sends it, and returns as soon as the answer's head is there.
    pub async fn head(self) -> Streaming {
        let (answer, connection) = within("an answer's head", self.begin()).await.unwrap();
        let (head, body) = answer.into_parts();
        Streaming { status: head.status, headers: head.headers, body, _connection: connection }
    }

    async fn begin(mut self) -> hyper::Result<(http::Response<Incoming>, Connection)> {
        let connection = match self.connection {
            Some(connection) => connection,
            None => self.client.connect().await,
        };
        let host = self.headers.remove(HOST).unwrap_or_else(|| {
            HeaderValue::try_from(format!("{SERVER_NAME}:{}", self.client.address.port())).unwrap()
        });
        let request = http::Request::builder().method(self.method);
        let mut request = match (self.client.protocol, self.authority) {
            (_, Some(authority)) => {
                request.uri(format!("https://{authority}{}", self.path)).header(HOST, host)
            }
            (Protocol::Http1, None) => request.uri(self.path).header(HOST, host),
            (Protocol::Http2, None) => {
                request.uri(format!("https://{}{}", host.to_str().unwrap(), self.path))
            }
        };
        request.headers_mut().expect("a method, a path and a host that are valid").extend(self.headers);
        let answer = connection.send(request.body(self.body).unwrap()).await?;
        Ok((answer, connection))
    }
}

impl Streaming {
    /// The next piece of the body, `None` at its end; an error where it breaks off.
    pub async fn next(&mut self) -> Option<hyper::Result<Bytes>> {
        let frame = within("a piece of the body", self.body.frame()).await?;
        Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
    }

    /// All that is still to come.
    pub async fn rest(self) -> hyper::Result<Bytes> {
        Ok(within("the rest of the body", self.body.collect()).await?.to_bytes())
    }
}

impl IntoFuture for Request {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.try_send().await.unwrap() })
    }
}

impl Answer {
    /// The only field of this name, as text; fails the test when there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next().map(|value| value.to_str().unwrap());
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        first
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// A connection on which the test itself writes bytes, and reads what comes.
pub struct RawConnection {
    stream: BufReader<Box<dyn Stream>>,
}

impl RawConnection {
    /// Writes these bytes. An error is no matter: the server may have refused and closed already.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.ok();
        self.stream.flush().await.ok();
    }

    /// The next answer; `None` where the server closes instead.
    pub async fn answer(&mut self) -> Option<Message> {
        within("an answer", Message::read(&mut self.stream, Unframed::UntilClose)).await
    }

    /// The next answer, to a HEAD request.
    pub async fn answer_to_head(&mut self) -> Option<Message> {
        within("an answer to HEAD", Message::read(&mut self.stream, Unframed::Never)).await
    }

    /// The head of an interim answer (1xx), which has no body.
    pub async fn interim_answer(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within("an interim answer", self.stream.read_u8()).await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    /// Writes bytes; `false` once the server takes no more.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let writing = async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        };
        within("the server to take bytes", writing).await.is_ok()
    }

    /// All that comes until the server closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        within("the end of the connection", self.stream.read_to_end(&mut bytes)).await.ok();
        bytes
    }

    /// Ends the client's direction.
    pub async fn half_close(&mut self) {
        self.stream.shutdown().await.ok();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl fmt::Debug for RawConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawConnection").finish_non_exhaustive()
    }
}
