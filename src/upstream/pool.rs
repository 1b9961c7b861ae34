//! A worker's connections to one upstream.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::answer_body::AnswerBody;
use super::client_body::{BodyProgress, ClientBody};
use super::connection::Connection;
use super::failure::{SendError, UpstreamFailure};
use crate::base::{ReasonCode, UpstreamName};
use crate::config::{Upstream, UpstreamTarget, UpstreamTimeouts};
use crate::telemetry::{Metrics, UpstreamRecorder};

/// Idle connections that one worker keeps to one upstream.
const MOST_IDLE: usize = 256;

/// Where an upstream is; immutable and shared by all workers.
#[derive(Debug)]
pub struct Endpoint {
    /// Its name in the file.
    pub name: UpstreamName,
    /// Replaces `Host` as received.
    pub host: Option<HeaderValue>,
    address: Address,
    timeouts: UpstreamTimeouts,
}

/// A literal address needs no look-up.
#[derive(Debug)]
enum Address {
    Literal(SocketAddr),
    Named(String, u16),
}

impl Endpoint {
    /// The endpoint of an upstream, unless the gateway itself answers for it.
    #[must_use]
    pub fn new(upstream: &Upstream) -> Option<Self> {
        let UpstreamTarget::Http { host, port } = &upstream.target else { return None };
        let address = match host.parse() {
            Ok(ip) => Address::Literal(SocketAddr::new(ip, *port)),
            Err(_) => Address::Named(host.clone(), *port),
        };
        Some(Self {
            name: upstream.name.clone(),
            host: upstream.host.clone(),
            address,
            timeouts: upstream.timeouts,
        })
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let stream = match &self.address {
            Address::Literal(address) => TcpStream::connect(address).await?,
            Address::Named(host, port) => TcpStream::connect((host.as_str(), *port)).await?,
        };
        // Heads and small bodies are written whole: waiting for more would only delay them.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// The idle connections of one worker to one endpoint, the latest used first.
#[derive(Debug)]
pub struct Pool {
    endpoint: Arc<Endpoint>,
    idle: RefCell<Vec<Connection>>,
    recorder: UpstreamRecorder,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(endpoint: Arc<Endpoint>, metrics: &Metrics) -> Rc<Self> {
        let recorder = UpstreamRecorder::new(metrics, endpoint.name.as_str());
        Rc::new(Self { endpoint, idle: RefCell::default(), recorder })
    }

    /// Where its connections lead.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends a request and waits for the head of its answer. The second value is how long that took.
    ///
    /// A request is sent once. Only where hyper hands it back unsent, since its connection closed under it,
    /// another connection gets it.
    ///
    /// # Errors
    /// [`SendError`] where no answer came.
    pub async fn send(
        self: &Rc<Self>,
        mut request: Request<ClientBody>,
    ) -> Result<(Response<AnswerBody>, Duration), SendError> {
        let progress = request.body().progress();
        loop {
            let mut connection = match self.take_idle() {
                Some(connection) => connection,
                None => self.open().await?,
            };
            let sent_at = Instant::now();
            let sending = connection.sender.try_send_request(request);
            let Some(outcome) = self.within_response_timeout(sent_at, &progress, sending).await else {
                self.recorder.failed(UpstreamFailure::ResponseTimeout.reason());
                return Err(UpstreamFailure::ResponseTimeout.into());
            };
            let mut failed = match outcome {
                Ok(answer) => {
                    let took = sent_at.elapsed();
                    self.recorder.took(took);
                    let idle = self.endpoint.timeouts.idle;
                    return Ok((answer.map(|body| AnswerBody::new(body, idle, connection, self)), took));
                }
                Err(failed) => failed,
            };
            if let Some(fault) = progress.fault() {
                return Err(SendError::Body(fault));
            }
            match failed.take_message() {
                Some(unsent) => {
                    self.recorder.stale();
                    request = unsent;
                }
                None => return Err(self.failed(UpstreamFailure::Broken(failed.into_error()))),
            }
        }
    }

    fn failed(&self, failure: UpstreamFailure) -> SendError {
        self.recorder.failed(failure.reason());
        failure.into()
    }

    /// Counts an answer that failed after its head had come.
    pub fn broke_off(&self, reason: ReasonCode) {
        self.recorder.failed(reason);
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        while let Some(connection) = idle.pop() {
            if connection.is_stale() {
                self.recorder.stale();
            } else {
                self.recorder.reused();
                return Some(connection);
            }
        }
        None
    }

    async fn open(&self) -> Result<Connection, SendError> {
        let connecting = timeout(self.endpoint.timeouts.connect, self.endpoint.connect());
        let stream = match connecting.await {
            Err(_) => return Err(self.failed(UpstreamFailure::ConnectTimeout)),
            Ok(Err(error)) => return Err(self.failed(UpstreamFailure::Unreachable(error))),
            Ok(Ok(stream)) => stream,
        };
        self.recorder.opened();
        Connection::start(stream).await.map_err(|error| self.failed(UpstreamFailure::Broken(error)))
    }

    /// `None` once the answer's time is over. It counts from the body's last piece, so that a long upload is not
    /// cut; a body that stands still because the upstream does not read counts too.
    async fn within_response_timeout<F: Future>(
        &self,
        sent_at: Instant,
        progress: &BodyProgress,
        sending: F,
    ) -> Option<F::Output> {
        let limit = self.endpoint.timeouts.response;
        let mut sending = pin!(sending);
        let mut sleep = pin!(sleep_until(sent_at + limit));
        poll_fn(|context| {
            if let Poll::Ready(outcome) = sending.as_mut().poll(context) {
                return Poll::Ready(Some(outcome));
            }
            while sleep.as_mut().poll(context).is_ready() {
                let deadline = progress.last_piece().unwrap_or(sent_at) + limit;
                if deadline <= Instant::now() {
                    return Poll::Ready(None);
                }
                sleep.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }

    /// Keeps a connection for the next request. One whose request is still being sent is let go.
    pub(super) fn put_back(&self, mut connection: Connection) {
        let mut idle = self.idle.borrow_mut();
        if connection.sender.is_ready() && idle.len() < MOST_IDLE {
            connection.idle_since = Instant::now();
            idle.push(connection);
        }
    }

    /// Closes connections that were idle for too long, and hands counts over. Called once a second.
    pub fn tick(&self, now: Instant) {
        let limit = self.endpoint.timeouts.idle;
        self.idle.borrow_mut().retain(|connection| now.duration_since(connection.idle_since) < limit);
        self.recorder.flush();
    }
}
