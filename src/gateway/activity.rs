//! What a client connection does at present, shared by its bytes and its requests.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// How long a connection may take for what.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// From a head's first byte to its last.
    pub head: Duration,
    /// Between requests, and for a client that does not take its answer.
    pub idle: Duration,
}

/// The phase of a connection and since when it lasts.
#[derive(Debug)]
pub struct Activity {
    phase: Cell<Phase>,
    since: Cell<Instant>,
    open_requests: Cell<u32>,
    /// HTTP/2 interleaves heads with everything else: there the connection is timed, not each head.
    times_heads: bool,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The next request.
    Idle,
    /// The rest of a head.
    Head,
    /// Its requests, which have deadlines of their own.
    Requests,
}

impl Activity {
    /// A fresh connection, idle from now on.
    #[must_use]
    pub fn new(times_heads: bool) -> Rc<Self> {
        Rc::new(Self {
            phase: Cell::new(Phase::Idle),
            since: Cell::new(Instant::now()),
            open_requests: Cell::new(0),
            times_heads,
        })
    }

    /// What it waits for at present.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// A request's head is complete. The connection is idle again when the last of the values returned here is
    /// dropped.
    #[must_use]
    pub fn begin_request(self: &Rc<Self>) -> OpenRequest {
        self.open_requests.set(self.open_requests.get() + 1);
        self.phase.set(Phase::Requests);
        OpenRequest(Rc::clone(self))
    }

    /// Bytes came from the client.
    pub fn bytes_came(&self) {
        if self.times_heads && self.phase.get() == Phase::Idle {
            self.phase.set(Phase::Head);
            self.since.set(Instant::now());
        }
    }

    /// When waiting for the client's bytes ends; `None` while its requests are served.
    #[must_use]
    pub fn deadline(&self, deadlines: Deadlines) -> Option<Instant> {
        match self.phase.get() {
            Phase::Idle => Some(self.since.get() + deadlines.idle),
            Phase::Head => Some(self.since.get() + deadlines.head),
            Phase::Requests => None,
        }
    }
}

/// One request of a connection, from its head to its answer's last byte.
#[derive(Debug)]
pub struct OpenRequest(Rc<Activity>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let open = self.0.open_requests.get() - 1;
        self.0.open_requests.set(open);
        if open == 0 {
            self.0.phase.set(Phase::Idle);
            self.0.since.set(Instant::now());
        }
    }
}
