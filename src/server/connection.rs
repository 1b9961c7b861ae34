//! One client connection: TLS, then HTTP/1.1 or HTTP/2 until it ends.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use super::client_io::ClientIo;
use super::clock;
use super::drain::Draining;
use crate::gateway::{Activity, Client, Deadlines, GatewayBody, Inbound, Multiplexing, Worker, handle};
use crate::telemetry::Metrics;

/// What all connections of a worker share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) worker: Rc<Worker>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) draining: Draining,
}

/// Serves a fresh socket until it closes.
pub(super) async fn serve(
    shared: Rc<Shared>,
    stream: TcpStream,
    peer: std::net::SocketAddr,
    tls: Option<Arc<ServerConfig>>,
) {
    // Answers are written whole: waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return http1(&shared, stream, Client::new(peer, false)).await;
    };
    let started = Instant::now();
    let limit = shared.worker.limits().tls_handshake_timeout;
    let handshakes = &shared.metrics.tls_handshakes;
    let stream = match timeout(limit, TlsAcceptor::from(tls).accept(stream)).await {
        Err(_) => return handshakes.with_label_values(&["timeout"]).inc(),
        Ok(Err(error)) => {
            tracing::debug!(%peer, "TLS handshake failed: {error}");
            return handshakes.with_label_values(&["failed"]).inc();
        }
        Ok(Ok(stream)) => stream,
    };
    handshakes.with_label_values(&["ok"]).inc();
    shared.metrics.tls_handshake_duration.observe(started.elapsed().as_secs_f64());
    let client = Client::new(peer, true);
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        http2(&shared, stream, client).await;
    } else {
        http1(&shared, stream, client).await;
    }
}

async fn http1<T: AsyncRead + AsyncWrite + Unpin + 'static>(shared: &Rc<Shared>, stream: T, client: Client) {
    let limits = shared.worker.limits();
    let activity = Activity::new(Multiplexing::OneRequest);
    let io = client_io(shared, stream, &activity);
    let service = requests(Rc::clone(shared), client, activity);
    // hyper's own caps stand at twice the file's, so that the gateway answers what is only somewhat too large.
    let connection = http1::Builder::new()
        .max_headers(limits.request_headers * 2)
        .max_buf_size((limits.request_head.as_usize() * 2).max(16 * 1024))
        .serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        // Either ends the connection: what is in flight is let through, nothing is lost by the other branch.
        ended = connection.as_mut() => return note_end(shared, ended),
        () = shared.draining.begun() => connection.as_mut().graceful_shutdown(),
    }
    note_end(shared, connection.await);
}

async fn http2<T: AsyncRead + AsyncWrite + Unpin + 'static>(shared: &Rc<Shared>, stream: T, client: Client) {
    let limits = shared.worker.limits();
    let activity = Activity::new(Multiplexing::Streams);
    let io = client_io(shared, stream, &activity);
    let service = requests(Rc::clone(shared), client, activity);
    let head = u32::try_from(limits.request_head.0 * 2).unwrap_or(u32::MAX);
    let connection = http2::Builder::new(OnThisWorker)
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.concurrent_streams)
        .max_header_list_size(head)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(256 * 1024)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        // As above: GOAWAY lets open streams end.
        ended = connection.as_mut() => return note_end(shared, ended),
        () = shared.draining.begun() => connection.as_mut().graceful_shutdown(),
    }
    note_end(shared, connection.await);
}

/// Counts a connection that ended because its client spoke no proper HTTP: hyper has answered it, and no request of
/// it was seen here.
fn note_end(shared: &Shared, ended: hyper::Result<()>) {
    if let Err(error) = ended
        && (error.is_parse() || error.is_parse_too_large())
    {
        shared.metrics.malformed_requests.inc();
        tracing::debug!("a client sent no proper HTTP: {error}");
    }
}

fn client_io<T: AsyncRead + AsyncWrite + Unpin>(
    shared: &Shared,
    stream: T,
    activity: &Rc<Activity>,
) -> ClientIo<T> {
    let limits = shared.worker.limits();
    let deadlines = Deadlines { head: limits.header_read_timeout, idle: limits.idle_timeout };
    ClientIo::new(stream, Rc::clone(activity), deadlines, &shared.metrics.connection_timeouts)
}

/// Answers the requests of one connection.
fn requests(
    shared: Rc<Shared>,
    client: Client,
    activity: Rc<Activity>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<GatewayBody>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<GatewayBody>, Infallible>> + 'static,
> {
    let client = Rc::new(client);
    service_fn(move |request| {
        let shared = Rc::clone(&shared);
        let client = Rc::clone(&client);
        let inbound = Inbound { request, open: activity.begin_request() };
        async move { Ok(handle(&shared.worker, &client, inbound, clock::now()).await) }
    })
}

/// Runs the streams of an HTTP/2 connection on the thread of the connection.
#[derive(Clone)]
struct OnThisWorker;

impl<F: Future<Output = ()> + 'static> Executor<F> for OnThisWorker {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
