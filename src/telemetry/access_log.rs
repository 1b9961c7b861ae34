//! One line a request. Workers only collect; a thread of its own formats and writes.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use prometheus::IntCounter;

use crate::base::{ReasonCode, RouteName, UpstreamName};

/// How many records a worker collects before it hands them over unasked.
const BATCH: usize = 64;
/// How many batches may wait for the writer; beyond that lines are dropped and counted, since a slow disk must
/// not slow traffic.
const WAITING_BATCHES: usize = 256;

/// What is known of a request when its answer has been sent. It holds no token, password or query.
#[derive(Debug, Clone)]
pub struct AccessRecord {
    /// Also sent to the upstream and to the client, as `X-Request-Id`.
    pub request_id: Box<str>,
    /// `None`: no route took it.
    pub route: Option<RouteName>,
    /// `None`: answered by the gateway itself.
    pub upstream: Option<UpstreamName>,
    /// The method.
    pub method: http::Method,
    /// `Host` as received, if it was readable.
    pub host: Box<str>,
    /// The path without its query.
    pub path: Box<str>,
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub protocol: &'static str,
    /// The client, as far as trusted proxies tell.
    pub client: IpAddr,
    /// The token's subject, if one was accepted.
    pub subject: Option<Box<str>>,
    /// The status of the answer; 499 where the client was gone before it.
    pub status: u16,
    /// What a token endpoint did.
    pub outcome: Option<&'static str>,
    /// Why the gateway refused, or what failed.
    pub reason: Option<ReasonCode>,
    /// More of it.
    pub detail: Option<String>,
    /// From the head to the answer's last byte.
    pub duration: Duration,
    /// From the request sent to the head of the upstream's answer.
    pub upstream_duration: Option<Duration>,
    /// Bytes of the answer's body.
    pub response_bytes: u64,
}

/// A worker's end of the log.
#[derive(Debug)]
pub struct AccessLog {
    waiting: RefCell<Vec<AccessRecord>>,
    writer: SyncSender<Vec<AccessRecord>>,
    dropped: IntCounter,
}

impl AccessLog {
    /// Takes a record. Returns whether it is the first one that waits, so that the caller may plan a flush.
    pub fn record(&self, record: AccessRecord) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push(record);
        if waiting.len() >= BATCH {
            drop(waiting);
            self.flush();
            return false;
        }
        waiting.len() == 1
    }

    /// Hands over what waits.
    pub fn flush(&self) {
        let batch = std::mem::take(&mut *self.waiting.borrow_mut());
        if batch.is_empty() {
            return;
        }
        if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) =
            self.writer.try_send(batch)
        {
            self.dropped.inc_by(batch.len() as u64);
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Makes workers' ends; as long as one lives, so does the thread that writes.
#[derive(Debug, Clone)]
pub struct AccessLogMaker {
    writer: SyncSender<Vec<AccessRecord>>,
    dropped: IntCounter,
}

impl AccessLogMaker {
    /// An end for one worker.
    #[must_use]
    pub fn make(&self) -> AccessLog {
        AccessLog { waiting: RefCell::default(), writer: self.writer.clone(), dropped: self.dropped.clone() }
    }
}

/// The thread that writes the log. It ends when every worker's end is gone.
#[derive(Debug)]
pub struct AccessLogThread {
    maker: AccessLogMaker,
    thread: JoinHandle<()>,
}

impl AccessLogThread {
    /// Starts it.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(dropped: IntCounter) -> std::io::Result<Self> {
        let (writer, reader) = sync_channel(WAITING_BATCHES);
        let thread = std::thread::Builder::new().name("access-log".into()).spawn(move || write(&reader))?;
        Ok(Self { maker: AccessLogMaker { writer, dropped }, thread })
    }

    /// What makes workers' ends.
    #[must_use]
    pub fn maker(&self) -> AccessLogMaker {
        self.maker.clone()
    }

    /// Waits until everything handed over is written. Every worker's end must be gone.
    pub fn finish(self) {
        drop(self.maker);
        // A writer that panicked has nothing left to write.
        let _ = self.thread.join();
    }
}

fn write(batches: &Receiver<Vec<AccessRecord>>) {
    while let Ok(batch) = batches.recv() {
        for record in batch {
            emit(&record);
        }
    }
}

fn emit(record: &AccessRecord) {
    tracing::info!(
        target: super::log::ACCESS_TARGET,
        request_id = &*record.request_id,
        client = %record.client,
        method = record.method.as_str(),
        host = &*record.host,
        path = &*record.path,
        protocol = record.protocol,
        status = record.status,
        route = record.route.as_ref().map(RouteName::as_str),
        upstream = record.upstream.as_ref().map(UpstreamName::as_str),
        subject = record.subject.as_deref(),
        outcome = record.outcome,
        reason = record.reason.map(ReasonCode::as_str),
        detail = record.detail.as_deref(),
        duration_ms = milliseconds(record.duration),
        upstream_ms = record.upstream_duration.map(milliseconds),
        response_bytes = record.response_bytes,
    );
}

/// With the microseconds that matter and no more digits than those.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
