//! The word to stop, for every connection of a worker.

use tokio::sync::watch;

/// Where connections learn that the worker drains.
#[derive(Debug, Clone)]
pub(super) struct Draining(watch::Receiver<bool>);

/// Who says so.
#[derive(Debug)]
pub(super) struct Drain(watch::Sender<bool>);

/// A pair of both.
pub(super) fn drain() -> (Drain, Draining) {
    let (sender, receiver) = watch::channel(false);
    (Drain(sender), Draining(receiver))
}

impl Drain {
    /// Asks every connection to end after what is in flight.
    pub(super) fn begin(&self) {
        self.0.send_replace(true);
    }
}

impl Draining {
    /// Returns once the worker drains.
    pub(super) async fn begun(&self) {
        let mut receiver = self.0.clone();
        // A sender that is gone means that the worker ends: that is draining too.
        let _ = receiver.wait_for(|draining| *draining).await;
    }
}
