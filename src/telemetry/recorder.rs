//! A worker's own counters: no lock, no shared memory; handed over by `flush`.

use std::cell::RefCell;
use std::time::Duration;

use http::StatusCode;
use prometheus::IntCounterVec;
use prometheus::local::{LocalHistogram, LocalIntCounter};

use super::Metrics;
use crate::base::ReasonCode;

/// Counters of one label that is a reason, made on first use.
#[derive(Debug)]
pub struct ReasonRecorder {
    family: IntCounterVec,
    first_label: Option<Box<str>>,
    by_reason: RefCell<Vec<Option<LocalIntCounter>>>,
}

impl ReasonRecorder {
    /// Reasons of a family with one label.
    #[must_use]
    pub fn new(family: &IntCounterVec) -> Self {
        Self { family: family.clone(), first_label: None, by_reason: RefCell::default() }
    }

    /// Reasons of a family whose first label is fixed and whose second is the reason.
    #[must_use]
    pub fn below(family: &IntCounterVec, label: &str) -> Self {
        Self { first_label: Some(label.into()), ..Self::new(family) }
    }

    /// Counts one.
    pub fn count(&self, reason: ReasonCode) {
        let mut counters = self.by_reason.borrow_mut();
        let index = reason as usize;
        if counters.len() <= index {
            counters.resize_with(ReasonCode::ALL.len(), || None);
        }
        counters[index]
            .get_or_insert_with(|| match &self.first_label {
                Some(label) => self.family.with_label_values(&[label, reason.as_str()]).local(),
                None => self.family.with_label_values(&[reason.as_str()]).local(),
            })
            .inc();
    }

    /// Hands the counts over.
    pub fn flush(&self) {
        for counter in self.by_reason.borrow().iter().flatten() {
            counter.flush();
        }
    }
}

/// What a worker counts for one route.
#[derive(Debug)]
pub struct RouteRecorder {
    requests: IntCounterVec,
    route: Box<str>,
    by_status: RefCell<Vec<(StatusCode, LocalIntCounter)>>,
    duration: LocalHistogram,
    refusals: ReasonRecorder,
}

impl RouteRecorder {
    /// The recorder of a route; `-` for requests that no route took.
    #[must_use]
    pub fn new(metrics: &Metrics, route: &str) -> Self {
        Self {
            requests: metrics.requests.clone(),
            route: route.into(),
            by_status: RefCell::default(),
            duration: metrics.request_duration.with_label_values(&[route]).local(),
            refusals: ReasonRecorder::below(&metrics.refusals, route),
        }
    }

    /// Counts a request that was answered with this status.
    pub fn answered(&self, status: StatusCode) {
        let mut counters = self.by_status.borrow_mut();
        // Few statuses a route: a scan beats a table.
        if let Some((_, counter)) = counters.iter().find(|(known, _)| *known == status) {
            counter.inc();
            return;
        }
        let counter = self.requests.with_label_values(&[&*self.route, status.as_str()]).local();
        counter.inc();
        counters.push((status, counter));
    }

    /// Notes how long a request took in all.
    pub fn took(&self, duration: Duration) {
        self.duration.observe(duration.as_secs_f64());
    }

    /// Counts a refusal.
    pub fn refused(&self, reason: ReasonCode) {
        self.refusals.count(reason);
    }

    /// Hands the counts over.
    pub fn flush(&self) {
        for (_, counter) in &*self.by_status.borrow() {
            counter.flush();
        }
        self.duration.flush();
        self.refusals.flush();
    }
}

/// What a worker counts for one upstream.
#[derive(Debug)]
pub struct UpstreamRecorder {
    duration: LocalHistogram,
    failures: ReasonRecorder,
    opened: LocalIntCounter,
    reused: LocalIntCounter,
    stale: LocalIntCounter,
}

impl UpstreamRecorder {
    /// The recorder of an upstream.
    #[must_use]
    pub fn new(metrics: &Metrics, upstream: &str) -> Self {
        let connections =
            |kind: &str| metrics.upstream_connections.with_label_values(&[upstream, kind]).local();
        Self {
            duration: metrics.upstream_duration.with_label_values(&[upstream]).local(),
            failures: ReasonRecorder::below(&metrics.upstream_failures, upstream),
            opened: connections("opened"),
            reused: connections("reused"),
            stale: connections("stale"),
        }
    }

    /// Notes how long the upstream took to the head of its answer.
    pub fn took(&self, duration: Duration) {
        self.duration.observe(duration.as_secs_f64());
    }

    /// Counts a failure.
    pub fn failed(&self, reason: ReasonCode) {
        self.failures.count(reason);
    }

    /// Counts a new connection.
    pub fn opened(&self) {
        self.opened.inc();
    }

    /// Counts a connection that was used again.
    pub fn reused(&self) {
        self.reused.inc();
    }

    /// Counts an idle connection that was found closed before use.
    pub fn stale(&self) {
        self.stale.inc();
    }

    /// Hands the counts over.
    pub fn flush(&self) {
        self.duration.flush();
        self.failures.flush();
        self.opened.flush();
        self.reused.flush();
        self.stale.flush();
    }
}

/// What a worker counts of its look-ups in the verified-token cache.
#[derive(Debug)]
pub struct CacheRecorder {
    worker_hits: LocalIntCounter,
    shared_hits: LocalIntCounter,
    refused_hits: LocalIntCounter,
    misses: LocalIntCounter,
}

impl CacheRecorder {
    /// The recorder of one worker.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let result = |result: &str| metrics.token_cache.with_label_values(&[result]).local();
        Self {
            worker_hits: result("worker_hit"),
            shared_hits: result("shared_hit"),
            refused_hits: result("refused_hit"),
            misses: result("miss"),
        }
    }

    /// Found in the worker's own level.
    pub fn worker_hit(&self) {
        self.worker_hits.inc();
    }

    /// Found in the shared level.
    pub fn shared_hit(&self) {
        self.shared_hits.inc();
    }

    /// Found among the refused.
    pub fn refused_hit(&self) {
        self.refused_hits.inc();
    }

    /// Not found.
    pub fn miss(&self) {
        self.misses.inc();
    }

    /// Hands the counts over.
    pub fn flush(&self) {
        self.worker_hits.flush();
        self.shared_hits.flush();
        self.refused_hits.flush();
        self.misses.flush();
    }
}

/// What a worker counts of authentications.
#[derive(Debug)]
pub struct AuthenticationRecorder {
    accepted: LocalIntCounter,
    refused: ReasonRecorder,
}

impl AuthenticationRecorder {
    /// The recorder of one worker.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            accepted: metrics.authentications.with_label_values(&["accepted"]).local(),
            refused: ReasonRecorder::new(&metrics.authentications),
        }
    }

    /// Counts a caller who is known.
    pub fn accepted(&self) {
        self.accepted.inc();
    }

    /// Counts one who is not.
    pub fn refused(&self, reason: ReasonCode) {
        self.refused.count(reason);
    }

    /// Hands the counts over.
    pub fn flush(&self) {
        self.accepted.flush();
        self.refused.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_show_after_a_flush() {
        let metrics = Metrics::new();
        let recorder = RouteRecorder::new(&metrics, "api");
        recorder.answered(StatusCode::OK);
        recorder.answered(StatusCode::OK);
        recorder.answered(StatusCode::UNAUTHORIZED);
        recorder.refused(ReasonCode::Expired);
        recorder.took(Duration::from_millis(3));
        assert!(!metrics.exposition().contains("status=\"200\"} 2"));
        recorder.flush();
        let text = metrics.exposition();
        assert!(text.contains("tollgate_requests_total{route=\"api\",status=\"200\"} 2"), "{text}");
        assert!(text.contains("tollgate_refusals_total{reason=\"expired\",route=\"api\"} 1"), "{text}");
        assert!(text.contains("tollgate_request_duration_seconds_count{route=\"api\"} 1"), "{text}");
    }
}
