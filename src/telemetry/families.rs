//! All metric families in one place, with their labels and buckets.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// From a cache hit beside the gateway to a slow report; the gateway's own share is in the first two.
const REQUEST_BUCKETS: [f64; 16] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// A resumed handshake nearby to a client on a bad line.
const HANDSHAKE_BUCKETS: [f64; 9] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.25, 1.0, 5.0];

/// Every family. Labels are bounded: names from the file, statuses, words of an enum.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    /// `tollgate_requests_total{route,status}`; route `-` where none matched.
    pub requests: IntCounterVec,
    /// `tollgate_request_duration_seconds{route}`: head received to answer's last byte handed over.
    pub request_duration: HistogramVec,
    /// `tollgate_refusals_total{route,reason}`.
    pub refusals: IntCounterVec,
    /// `tollgate_authentications_total{outcome}`: `accepted`, or the reason of the refusal.
    pub authentications: IntCounterVec,
    /// `tollgate_token_cache_lookups_total{result}`: `worker_hit`, `shared_hit`, `refused_hit`, `miss`.
    pub token_cache: IntCounterVec,
    /// `tollgate_key_fetches_total{provider,outcome}`: `ok`, `unchanged`, or what went wrong. Providers that share a
    /// source count under the first of them.
    pub key_fetches: IntCounterVec,
    /// `tollgate_key_refetches_total{provider}`: fetches that a token with an unknown key asked for.
    pub key_refetches: IntCounterVec,
    /// `tollgate_key_file_reads_total{provider,outcome}`: key files that changed: `ok`, or `unreadable` and `unusable`, which
    /// change nothing.
    pub key_file_reads: IntCounterVec,
    /// `tollgate_keys_fetched_timestamp_seconds{provider}`: when keys were last fetched or confirmed.
    pub keys_fetched: IntGaugeVec,
    /// `tollgate_keys_usable{provider}`.
    pub keys_usable: IntGaugeVec,
    /// `tollgate_keys_skipped{provider}`: keys of the set that can't be used.
    pub keys_skipped: IntGaugeVec,
    /// `tollgate_provider_clock_skew_seconds{provider,by}`: how far its clock is ahead of ours, by the `date` of its key
    /// server's answers, and by `iat` of its fresh `tokens`.
    pub clock_skew: IntGaugeVec,
    /// `tollgate_introspection_calls_total{provider,outcome}`: `active`, `inactive`, or what went wrong.
    pub introspection_calls: IntCounterVec,
    /// `tollgate_introspection_lookups_total{provider,result}`: `hit`, `negative_hit`, `joined` (a call that was under
    /// way), `called`, `busy` (more than the file allows), `stale` (a last answer, since there is no other).
    pub introspection_lookups: IntCounterVec,
    /// `tollgate_token_endpoint_requests_total{endpoint,outcome}`.
    pub token_endpoints: IntCounterVec,
    /// `tollgate_session_events_total{event}`: see `SessionEvent` of the issuer.
    pub session_events: IntCounterVec,
    /// `tollgate_mirror_writes_total{outcome}`: `written`, `deferred`, `lost`.
    pub mirror_writes: IntCounterVec,
    /// `tollgate_mirror_pending`: what the site's blacklist is still to be told of.
    pub mirror_pending: IntGauge,
    /// `tollgate_revocations`: entries in memory, some of which may have expired in the last half minute.
    pub revocations: IntGauge,
    /// `tollgate_revocations_synced_timestamp_seconds`: when the database last said that there is no more to know.
    pub revocations_synced: IntGauge,
    /// `tollgate_upstream_duration_seconds{upstream}`: request sent to answer's head.
    pub upstream_duration: HistogramVec,
    /// `tollgate_upstream_failures_total{upstream,reason}`.
    pub upstream_failures: IntCounterVec,
    /// `tollgate_upstream_connections_total{upstream,kind}`: `opened`, `reused`, `stale`.
    pub upstream_connections: IntCounterVec,
    /// `tollgate_open_connections{listener}`.
    pub open_connections: IntGaugeVec,
    /// `tollgate_worker_connections{worker}`: how evenly they are spread.
    pub worker_connections: IntGaugeVec,
    /// `tollgate_connections_total{listener}`.
    pub connections: IntCounterVec,
    /// `tollgate_connections_refused_total`: closed at once, since `limits.connections` was reached.
    pub connections_refused: IntCounter,
    /// `tollgate_connections_handed_over_total`: fresh sockets that a crowded worker passed on.
    pub connections_handed_over: IntCounter,
    /// `tollgate_tls_handshakes_total{outcome}`: `ok`, `failed`, `timeout`.
    pub tls_handshakes: IntCounterVec,
    /// `tollgate_tls_handshake_duration_seconds`.
    pub tls_handshake_duration: Histogram,
    /// `tollgate_connection_timeouts_total{kind}`: `head`, `idle`, `stalled`.
    pub connection_timeouts: IntCounterVec,
    /// `tollgate_malformed_requests_total`: texts that are no HTTP, or far beyond every limit; their connections close.
    pub malformed_requests: IntCounter,
    /// `tollgate_request_panics_total`: requests that a defect ended with 500.
    pub request_panics: IntCounter,
    /// `tollgate_worker_restarts_total`.
    pub worker_restarts: IntCounter,
    /// `tollgate_access_log_dropped_total`: lines that were lost because the log could not keep up.
    pub access_log_dropped: IntCounter,
    /// `tollgate_ready`: 1 while traffic is taken.
    pub ready: IntGauge,
}

impl Metrics {
    /// Makes and registers all families.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let family = Family { registry: &registry };
        let metrics = Self {
            requests: family.counters(
                "requests_total",
                "Requests by route and status.",
                &["route", "status"],
            ),
            request_duration: family.histograms(
                "request_duration_seconds",
                "From a request's head to its answer's last byte, by route.",
                &["route"],
            ),
            refusals: family.counters(
                "refusals_total",
                "Requests that the gateway itself turned away.",
                &["route", "reason"],
            ),
            authentications: family.counters(
                "authentications_total",
                "Outcomes of authentication on routes that need a token.",
                &["outcome"],
            ),
            token_cache: family.counters(
                "token_cache_lookups_total",
                "Look-ups in the cache of verified tokens.",
                &["result"],
            ),
            key_fetches: family.counters(
                "key_fetches_total",
                "Fetches of a provider's keys by outcome.",
                &["provider", "outcome"],
            ),
            key_refetches: family.counters(
                "key_refetches_total",
                "Fetches that a token with an unknown key asked for.",
                &["provider"],
            ),
            key_file_reads: family.counters(
                "key_file_reads_total",
                "Key files that changed by outcome.",
                &["provider", "outcome"],
            ),
            keys_fetched: family.gauges(
                "keys_fetched_timestamp_seconds",
                "When a provider's keys were last fetched or confirmed; 0 before the first time.",
                &["provider"],
            ),
            keys_usable: family.gauges("keys_usable", "Fetched keys that verify tokens.", &["provider"]),
            keys_skipped: family.gauges("keys_skipped", "Fetched keys that can't be used.", &["provider"]),
            clock_skew: family.gauges(
                "provider_clock_skew_seconds",
                "How far a provider's clock is ahead of ours, by its key server or by its tokens.",
                &["provider", "by"],
            ),
            introspection_calls: family.counters(
                "introspection_calls_total",
                "Calls of a provider's introspection endpoint by outcome.",
                &["provider", "outcome"],
            ),
            introspection_lookups: family.counters(
                "introspection_lookups_total",
                "Tokens that only an introspection endpoint knows, by where the answer came from.",
                &["provider", "result"],
            ),
            token_endpoints: family.counters(
                "token_endpoint_requests_total",
                "Requests to the token endpoints by outcome.",
                &["endpoint", "outcome"],
            ),
            session_events: family.counters(
                "session_events_total",
                "What happened to sessions besides logins and refreshes.",
                &["event"],
            ),
            mirror_writes: family.counters(
                "mirror_writes_total",
                "Ended refresh tokens and sessions for the site's blacklist: written, put off, or given up.",
                &["outcome"],
            ),
            mirror_pending: family.gauge(
                "mirror_pending",
                "Ended refresh tokens and sessions that the site's blacklist is still to be told of.",
            ),
            revocations: family.gauge("revocations", "Revocations that tokens are checked against."),
            revocations_synced: family.gauge(
                "revocations_synced_timestamp_seconds",
                "When the revocations in memory were last in step with the database; 0 before the first time.",
            ),
            upstream_duration: family.histograms(
                "upstream_duration_seconds",
                "From a request sent to its answer's head, by upstream.",
                &["upstream"],
            ),
            upstream_failures: family.counters(
                "upstream_failures_total",
                "Requests that an upstream failed.",
                &["upstream", "reason"],
            ),
            upstream_connections: family.counters(
                "upstream_connections_total",
                "Connections to upstreams opened, reused, or found stale before use.",
                &["upstream", "kind"],
            ),
            open_connections: family.gauges("open_connections", "Open client connections.", &["listener"]),
            worker_connections: family.gauges(
                "worker_connections",
                "Client connections of each worker, those on their way to it included.",
                &["worker"],
            ),
            connections: family.counters("connections_total", "Accepted client connections.", &["listener"]),
            connections_refused: family
                .counter("connections_refused_total", "Connections closed because the limit was reached."),
            connections_handed_over: family.counter(
                "connections_handed_over_total",
                "Fresh connections that a crowded worker passed to another.",
            ),
            tls_handshakes: family.counters(
                "tls_handshakes_total",
                "TLS handshakes by outcome.",
                &["outcome"],
            ),
            tls_handshake_duration: family
                .handshakes("tls_handshake_duration_seconds", "Duration of completed TLS handshakes."),
            connection_timeouts: family.counters(
                "connection_timeouts_total",
                "Client connections that a deadline closed.",
                &["kind"],
            ),
            malformed_requests: family.counter(
                "malformed_requests_total",
                "Connections closed because their client sent no proper HTTP.",
            ),
            request_panics: family
                .counter("request_panics_total", "Requests that a defect of the gateway ended."),
            worker_restarts: family
                .counter("worker_restarts_total", "Workers that died and were started again."),
            access_log_dropped: family
                .counter("access_log_dropped_total", "Access-log lines lost because the log was too slow."),
            ready: family.gauge("ready", "1 while the gateway takes traffic."),
            registry: registry.clone(),
        };
        let version = family.gauges("build_info", "The running version.", &["version"]);
        version.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics
    }

    /// All families in Prometheus' text format.
    #[must_use]
    pub fn exposition(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("families made here have valid names and labels")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Registers families. Names and labels are constants of this file, so that a failure is a defect found by the
/// first test.
struct Family<'r> {
    registry: &'r Registry,
}

impl Family<'_> {
    fn register<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        collector: prometheus::Result<C>,
    ) -> C {
        let collector = collector.expect("names and labels of this file are valid");
        self.registry.register(Box::new(collector.clone())).expect("names of this file are distinct");
        collector
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(options(name, help), labels))
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::with_opts(options(name, help)))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(options(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::with_opts(options(name, help)))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        let options = HistogramOpts::from(options(name, help)).buckets(REQUEST_BUCKETS.to_vec());
        self.register(HistogramVec::new(options, labels))
    }

    fn handshakes(&self, name: &str, help: &str) -> Histogram {
        let options = HistogramOpts::from(options(name, help)).buckets(HANDSHAKE_BUCKETS.to_vec());
        self.register(Histogram::with_opts(options))
    }
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("tollgate")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_registers_and_is_exposed() {
        let metrics = Metrics::new();
        metrics.requests.with_label_values(&["api", "200"]).inc();
        let text = metrics.exposition();
        assert!(text.contains("tollgate_requests_total{route=\"api\",status=\"200\"} 1"), "{text}");
        assert!(text.contains("tollgate_build_info{version="));
    }
}
