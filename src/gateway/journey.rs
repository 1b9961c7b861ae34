//! What is known of one request, until its answer's last byte: the source of its log line and metrics.
//!
//! It ends by being dropped. Whichever way a request leaves (answered, broken off, abandoned by its client), it is
//! counted and logged once.

use std::cell::{Cell, OnceCell, RefCell};
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use tokio::time::Instant;

use super::activity::OpenRequest;
use super::inbound::Client;
use super::snapshot::{Auth, Route};
use super::worker::Worker;
use crate::base::{ReasonCode, RouteName, with_causes};
use crate::config::RefusalForm;
use crate::http::{BEARER, Refusal};
use crate::telemetry::AccessRecord;
use crate::upstream::UpstreamFailure;

/// nginx's word for a client that did not wait.
const CLIENT_GONE: u16 = 499;

/// One request on its way.
#[derive(Debug)]
pub(super) struct Journey {
    worker: Rc<Worker>,
    started: Instant,
    request_id: HeaderValue,
    route: OnceCell<Arc<Route>>,
    builtin: Cell<Option<&'static str>>,
    status: Cell<Option<StatusCode>>,
    reason: Cell<Option<ReasonCode>>,
    upstream_took: Cell<Option<Duration>>,
    answer_bytes: Cell<u64>,
    /// Only where a log is kept: nothing of it costs a request otherwise.
    line: Option<Box<Line>>,
    open: OpenRequest,
}

/// What only the log wants to know.
#[derive(Debug)]
struct Line {
    method: Method,
    host: Box<str>,
    path: Box<str>,
    protocol: &'static str,
    client: Cell<std::net::IpAddr>,
    subject: RefCell<Option<Box<str>>>,
    detail: RefCell<Option<String>>,
    outcome: Cell<Option<&'static str>>,
}

impl Journey {
    pub(super) fn begin<B>(
        worker: &Rc<Worker>,
        client: &Client,
        request: &Request<B>,
        open: OpenRequest,
    ) -> Box<Self> {
        let line = worker.access_log.as_ref().map(|_| {
            let host = request
                .headers()
                .get(http::header::HOST)
                .map(|host| String::from_utf8_lossy(host.as_bytes()));
            let authority = || request.uri().authority().map(|authority| authority.as_str().into());
            Box::new(Line {
                method: request.method().clone(),
                host: host.or_else(authority).unwrap_or_default().into(),
                path: request.uri().path().into(),
                protocol: protocol(request.version()),
                client: Cell::new(client.peer()),
                subject: RefCell::default(),
                detail: RefCell::default(),
                outcome: Cell::new(None),
            })
        });
        Box::new(Self {
            worker: Rc::clone(worker),
            started: Instant::now(),
            request_id: worker
                .request_ids
                .for_request(request.headers().get(super::request_id::X_REQUEST_ID)),
            route: OnceCell::new(),
            builtin: Cell::new(None),
            status: Cell::new(None),
            reason: Cell::new(None),
            upstream_took: Cell::new(None),
            answer_bytes: Cell::new(0),
            line,
            open,
        })
    }

    pub(super) fn request_id(&self) -> &HeaderValue {
        &self.request_id
    }

    pub(super) fn client_is(&self, address: std::net::IpAddr) {
        if let Some(line) = &self.line {
            line.client.set(address);
        }
    }

    /// How credentials are called where the request went, for a challenge.
    pub(super) fn scheme(&self) -> &str {
        match self.route.get().map(|route| &route.auth) {
            Some(Auth::Required { credentials, .. }) => credentials.scheme(),
            Some(Auth::Public) | None => BEARER,
        }
    }

    /// What its client gets for a refusal, in the form of the route that it took.
    pub(super) fn answer_to(&self, refusal: &Refusal) -> Response<Bytes> {
        match self.route.get().map(|route| &route.auth) {
            Some(Auth::Required { refusals: RefusalForm::Drf { classes }, .. }) => {
                refusal.answer_as_drf(self.scheme(), classes)
            }
            _ => refusal.answer_by_scheme(self.scheme()),
        }
    }

    pub(super) fn took_route(&self, route: &Arc<Route>) {
        // A request takes one route; a second call would be a defect that the log need not hide.
        let _ = self.route.set(Arc::clone(route));
    }

    /// An endpoint of the gateway itself answers.
    pub(super) fn took_builtin(&self, name: &'static str) {
        self.builtin.set(Some(name));
    }

    pub(super) fn subject_is(&self, subject: Option<&str>) {
        if let Some(line) = &self.line {
            *line.subject.borrow_mut() = subject.map(Into::into);
        }
    }

    /// What a token endpoint did, and what stood in its way if it could not do its part.
    pub(super) fn token_outcome(
        &self,
        outcome: &'static str,
        detail: Option<&'static str>,
        cause: Option<&(dyn Error + Send + Sync)>,
    ) {
        if let Some(cause) = cause {
            tracing::warn!(outcome, "a token endpoint failed: {}", with_causes(cause));
        }
        if let Some(line) = &self.line {
            line.outcome.set(Some(outcome));
            *line.detail.borrow_mut() = detail.map(str::to_owned);
        }
    }

    pub(super) fn upstream_took(&self, duration: Duration) {
        self.upstream_took.set(Some(duration));
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        self.reason.set(Some(refusal.reason()));
        if refusal.closes_connection() {
            self.open.closes_early();
        }
        if let Some(line) = &self.line {
            *line.detail.borrow_mut() = refusal.log_detail();
        }
        self.recorder().refused(refusal.reason());
    }

    pub(super) fn failed(&self, failure: &UpstreamFailure) {
        self.reason.set(Some(failure.reason()));
        if let Some(line) = &self.line {
            *line.detail.borrow_mut() = Some(failure.to_string());
        }
    }

    /// The upstream broke the protocol.
    pub(super) fn broken(&self, detail: &str) {
        self.reason.set(Some(ReasonCode::UpstreamBroken));
        if let Some(line) = &self.line {
            *line.detail.borrow_mut() = Some(detail.to_owned());
        }
    }

    pub(super) fn answered(&self, status: StatusCode) {
        self.status.set(Some(status));
        self.recorder().answered(status);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.answer_bytes.set(self.answer_bytes.get() + bytes as u64);
    }

    /// A piece of the answer is ready for the client to take.
    pub(super) fn waits_for_client(&mut self) {
        self.open.waits_for_client();
    }

    /// The client took all there is so far.
    pub(super) fn waits_for_upstream(&mut self) {
        self.open.waits_for_upstream();
    }

    /// The answer did not reach its end, and it was the client who left.
    pub(super) fn client_left(&self) {
        if self.reason.get().is_none() {
            self.reason.set(Some(ReasonCode::ClientGone));
        }
    }

    fn recorder(&self) -> &crate::telemetry::RouteRecorder {
        match (self.route.get(), self.builtin.get()) {
            (Some(route), _) => &self.worker.routes[route.index],
            (None, Some(_)) => &self.worker.builtin,
            (None, None) => &self.worker.unrouted,
        }
    }
}

impl Drop for Journey {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        if self.status.get().is_none() {
            self.client_left();
            self.recorder().refused(ReasonCode::ClientGone);
        }
        self.recorder().took(took);
        let Some(line) = self.line.take() else { return };
        let route = self.route.get();
        self.worker.log(AccessRecord {
            request_id: self.request_id.to_str().unwrap_or_default().into(),
            route: route.map(|route| route.name.clone()).or_else(|| self.builtin.get().map(RouteName::new)),
            upstream: route
                .map(|route| route.upstream_name.clone())
                .filter(|_| self.upstream_took.get().is_some()),
            method: line.method,
            host: line.host,
            path: line.path,
            protocol: line.protocol,
            client: line.client.get(),
            subject: line.subject.into_inner(),
            status: self.status.get().map_or(CLIENT_GONE, |status| status.as_u16()),
            outcome: line.outcome.get(),
            reason: self.reason.get(),
            detail: line.detail.into_inner(),
            duration: took,
            upstream_duration: self.upstream_took.get(),
            response_bytes: self.answer_bytes.get(),
        });
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}
