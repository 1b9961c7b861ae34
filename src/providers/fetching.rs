//! Starts what keeps keys up to date: a task for each source on another server, and others that watch files and clocks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::fetcher::Fetcher;
use super::source::KeySource;
use super::{KeySourceId, Provider, clock_skew, file_watch};
use crate::base::UnixTime;
use crate::telemetry::Metrics;

/// What the tasks need of the gateway.
#[derive(Debug, Clone)]
pub struct Fetching {
    /// The control plane.
    pub control: Handle,
    /// Where fetches are counted.
    pub metrics: Arc<Metrics>,
    /// Where the last good keys are kept, below it; `None`: none are kept, nor looked for.
    pub state_directory: Option<PathBuf>,
    /// The present second.
    pub clock: fn() -> UnixTime,
}

/// Starts a task for each source on another server, and others that watch key files and
/// clocks. Keys that were kept from an earlier run are in use when it returns.
pub fn start_fetching(providers: &[Arc<Provider>], fetching: &Fetching) {
    file_watch::start(providers, fetching);
    for tenants in providers.iter().filter_map(|provider| provider.tenants.as_ref()) {
        tenants.start_fetching(fetching);
    }
    clock_skew::start(providers, fetching);
    for source in remote_sources(providers) {
        let mut fetcher = Fetcher::new(source, fetching);
        fetcher.use_kept_keys();
        fetching.control.spawn(async move { fetcher.run().await });
    }
}

/// Waits until each source was tried once, but not longer than `longest`: so that the first requests after a start find
/// keys where there are some.
pub async fn first_fetches(providers: &[Arc<Provider>], longest: Duration) {
    let without_keys = remote_sources(providers).filter(|source| !source.has_keys());
    let tried = without_keys.map(|source| async move {
        if let Some(remote) = &source.remote {
            remote.demand.first().await;
        }
    });
    // Whoever is not there yet is served as soon as he comes.
    let _ = timeout(longest, join_all(tried)).await;
}

/// Each once.
fn remote_sources(providers: &[Arc<Provider>]) -> impl Iterator<Item = Arc<KeySource>> {
    let mut seen: Vec<KeySourceId> = Vec::new();
    let sources = providers.iter().map(|provider| &provider.keys).filter(|source| source.remote.is_some());
    sources
        .filter(move |source| {
            let new = !seen.contains(&source.id());
            seen.push(source.id());
            new
        })
        .cloned()
}
