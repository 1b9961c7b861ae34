//! Keeps the index in step with the database, through which replicas and the command line end tokens.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Revocations;
use crate::base::{UnixTime, with_causes};
use crate::store::{Sessions, StoreError};
use crate::telemetry::Metrics;

/// How often the database is asked for what is new: another replica's logout is seen within a second.
const POLL: Duration = Duration::from_millis(400);
/// Adding many touches every part of the index, which copies all of it: at start a million come in a few steps.
const BATCH: usize = 200_000;
/// How often the index is rid of what has expired.
const SWEEP: Duration = Duration::from_secs(30);

/// The task that loads the index, asks for what is new for as long as the process lives, and drops what has expired.
/// When the database is gone, what is in memory still counts.
pub struct Keeper {
    revocations: Arc<Revocations>,
    sessions: Arc<dyn Sessions>,
    metrics: Arc<Metrics>,
    clock: fn() -> UnixTime,
    /// The number of the last revocation that was seen.
    seen: i64,
    failing: bool,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Nothing is loaded yet.
    #[must_use]
    pub fn new(
        revocations: Arc<Revocations>,
        sessions: Arc<dyn Sessions>,
        metrics: Arc<Metrics>,
        clock: fn() -> UnixTime,
    ) -> Self {
        Self { revocations, sessions, metrics, clock, seen: 0, failing: false }
    }

    /// Takes in what is new. A failure is told once, until it is over.
    pub async fn catch_up(&mut self) {
        match self.read_news().await {
            Ok(()) => {
                if !self.revocations.is_loaded() {
                    self.revocations.set_loaded();
                    tracing::info!(entries = self.revocations.len(), "revocations are loaded");
                }
                if std::mem::take(&mut self.failing) {
                    tracing::info!("revocations can be read again");
                }
                self.metrics.revocations_synced.set((self.clock)().0);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    let why = with_causes(&error);
                    if self.revocations.is_loaded() {
                        tracing::warn!("can't read new revocations, those known still count: {why}");
                    } else {
                        tracing::warn!(
                            "can't load revocations, so requests with tokens are answered 503: {why}"
                        );
                    }
                }
            }
        }
        self.metrics.revocations.set(i64::try_from(self.revocations.len()).unwrap_or(i64::MAX));
    }

    async fn read_news(&mut self) -> Result<(), StoreError> {
        let mut read = Vec::new();
        let mut last = self.seen;
        loop {
            let page = self.sessions.revocations_after(last).await?;
            if page.highest < last {
                // Another database lies there now, such as a restored one. What it says is added to what is known.
                (self.seen, last) = (0, 0);
                continue;
            }
            last = page.last;
            let is_last = page.revocations.is_empty();
            read.extend(page.revocations);
            if is_last || read.len() >= BATCH {
                self.revocations.add(&read, (self.clock)());
                read.clear();
                self.seen = last;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Runs until the runtime ends.
    pub async fn run(mut self) {
        let mut swept = Instant::now();
        loop {
            sleep(POLL).await;
            self.catch_up().await;
            if swept.elapsed() >= SWEEP {
                swept = Instant::now();
                self.revocations.sweep((self.clock)());
            }
        }
    }
}
