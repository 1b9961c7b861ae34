//! Look-ups on the caller's own thread, which cost no hand-over: two wake-ups and two changes of thread, of which a
//! request to verify a token would otherwise have four.
//!
//! The caller is a thread of the control plane, and the disk may hang. So this is for statements that find a row by its
//! key; one such look-up runs at a time, so that it holds one thread of the control plane at most while the others go
//! on; it waits for no lock; and when one took long, the readers' threads do all for a while. Whoever waits for the answer
//! of a thread that is held has a deadline of its own.

use std::path::Path;
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::connection::{FileConnection, Purpose};

/// From there a look-up took long. It takes some ten microseconds where what it needs is in memory, and some
/// milliseconds where its thread lost its core meanwhile.
pub(super) const LONG: Duration = Duration::from_millis(25);
/// For so long the readers' threads do all then.
const REST: Duration = Duration::from_secs(1);

/// The connection for look-ups that somebody makes for itself.
pub(super) struct Inline {
    /// Nobody waits for this lock.
    state: Mutex<State>,
    /// Whether the runtime has a thread to spare.
    allowed: bool,
}

struct State {
    connection: FileConnection,
    rests_until: Option<Instant>,
}

impl Inline {
    /// For callers on the current runtime.
    pub(super) fn new(file: &Path) -> Self {
        let allowed = Handle::try_current().is_ok_and(|runtime| {
            runtime.runtime_flavor() == RuntimeFlavor::MultiThread && runtime.metrics().num_workers() > 1
        });
        let state = State { connection: FileConnection::new(file, Purpose::LookingUp), rests_until: None };
        Self { state: Mutex::new(state), allowed }
    }

    /// `None` if it is a reader's turn, which also says what is wrong if something is.
    pub(super) fn look_up<T>(&self, look: &impl Fn(&Connection) -> rusqlite::Result<T>) -> Option<T> {
        if !self.allowed {
            return None;
        }
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            // Who panicked left a connection that is as good as before.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let start = Instant::now();
        if state.rests_until.is_some_and(|until| start < until) {
            return None;
        }
        let found = state.connection.current().ok().and_then(|connection| look(connection).ok());
        if start.elapsed() > LONG {
            state.rests_until = Some(Instant::now() + REST);
        }
        found
    }
}
