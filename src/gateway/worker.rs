//! What one worker thread has to serve requests with. Nothing of it is shared with another thread but what stands
//! behind an `Arc`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::request_id::RequestIds;
use super::snapshot::Snapshot;
use super::token_cache::TokenCache;
use super::user_check::UserChecks;
use crate::jwt;
use crate::telemetry::{
    AccessLog, AccessRecord, AuthenticationRecorder, CacheRecorder, Metrics, RouteRecorder,
};
use crate::upstream::Pool;

/// How long an access line may wait for others.
const LOG_DELAY: Duration = Duration::from_millis(50);

/// A worker's state.
#[derive(Debug)]
pub struct Worker {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) targets: Vec<Target>,
    pub(super) routes: Vec<RouteRecorder>,
    pub(super) unrouted: RouteRecorder,
    pub(super) builtin: RouteRecorder,
    pub(super) tokens: TokenCache,
    pub(super) user_checks: Rc<UserChecks>,
    pub(super) token_limits: jwt::Limits,
    pub(super) cache_lookups: CacheRecorder,
    pub(super) authentications: AuthenticationRecorder,
    pub(super) request_ids: RequestIds,
    pub(super) access_log: Option<AccessLog>,
    log_waits: Notify,
    pub(super) metrics: Arc<Metrics>,
    /// The control plane, for the little that may wait.
    pub(super) control: Handle,
}

/// Where a worker sends the requests of an upstream.
#[derive(Debug)]
pub(super) enum Target {
    Pool(Rc<Pool>),
    Echo,
}

impl Worker {
    /// A worker with empty pools and caches.
    #[must_use]
    pub fn new(
        snapshot: Arc<Snapshot>,
        metrics: Arc<Metrics>,
        access_log: Option<AccessLog>,
        control: Handle,
    ) -> Rc<Self> {
        let targets = snapshot.endpoints.iter().map(|endpoint| match endpoint {
            Some(endpoint) => Target::Pool(Pool::new(Arc::clone(endpoint), &metrics)),
            None => Target::Echo,
        });
        let routes = snapshot.routes.iter().map(|route| RouteRecorder::new(&metrics, route.name.as_str()));
        Rc::new(Self {
            targets: targets.collect(),
            routes: routes.collect(),
            unrouted: RouteRecorder::new(&metrics, "-"),
            builtin: RouteRecorder::new(&metrics, "builtin"),
            tokens: TokenCache::new(snapshot.tokens.clone()),
            user_checks: Rc::default(),
            token_limits: jwt::Limits::default(),
            cache_lookups: CacheRecorder::new(&metrics),
            authentications: AuthenticationRecorder::new(&metrics),
            request_ids: RequestIds::new(),
            access_log,
            log_waits: Notify::new(),
            control,
            metrics,
            snapshot,
        })
    }

    /// The limits of its connections.
    #[must_use]
    pub fn limits(&self) -> &crate::config::Limits {
        &self.snapshot.limits
    }

    /// What is done once a second: idle connections are closed, counts handed over.
    pub fn tick(&self) {
        let now = Instant::now();
        for target in &self.targets {
            match target {
                Target::Pool(pool) => pool.tick(now),
                Target::Echo => {}
            }
        }
        for recorder in &self.routes {
            recorder.flush();
        }
        self.unrouted.flush();
        self.builtin.flush();
        self.cache_lookups.flush();
        self.authentications.flush();
        if let Some(log) = &self.access_log {
            log.flush();
        }
    }

    /// Takes an access line; the first of a batch wakes [`Self::write_log`].
    pub(super) fn log(&self, record: AccessRecord) {
        if let Some(log) = &self.access_log
            && log.record(record)
        {
            self.log_waits.notify_one();
        }
    }

    /// Writes access lines soon after the first of a batch, for as long as the worker lives.
    pub async fn write_log(self: Rc<Self>) {
        let Some(log) = &self.access_log else { return };
        loop {
            self.log_waits.notified().await;
            sleep(LOG_DELAY).await;
            log.flush();
        }
    }
}
