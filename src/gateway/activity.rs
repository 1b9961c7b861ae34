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
    /// Of the open requests those whose answer waits for the client to take it.
    waiting_for_client: Cell<u32>,
    last_piece: Cell<Instant>,
    lingers: Cell<bool>,
    protocol: Multiplexing,
}

/// What a connection carries at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Multiplexing {
    /// HTTP/1.1: one request. Each head is timed; a client that does not take its answer blocks the socket.
    OneRequest,
    /// HTTP/2: many, their heads between everything else. The connection is timed, not each head; a client that gives
    /// no room in its windows does not block the socket.
    Streams,
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
    pub fn new(protocol: Multiplexing) -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            phase: Cell::new(Phase::Idle),
            since: Cell::new(now),
            open_requests: Cell::new(0),
            waiting_for_client: Cell::new(0),
            last_piece: Cell::new(now),
            lingers: Cell::new(false),
            protocol,
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
        OpenRequest { activity: Rc::clone(self), waits_for_client: false }
    }

    /// Whether the connection is to close while its client still sends: then its bytes are to be read for a moment
    /// longer, since a reset that answers them could overtake the answer (RFC 9112, section 9.6).
    #[must_use]
    pub fn lingers(&self) -> bool {
        self.lingers.get()
    }

    /// Bytes came from the client.
    pub fn bytes_came(&self) {
        if self.protocol == Multiplexing::OneRequest && self.phase.get() == Phase::Idle {
            self.phase.set(Phase::Head);
            self.since.set(Instant::now());
        }
    }

    /// When waiting for the client ends; `None` while it waits for us.
    #[must_use]
    pub fn deadline(&self, deadlines: Deadlines) -> Option<Instant> {
        match self.phase.get() {
            Phase::Idle => Some(self.since.get() + deadlines.idle),
            Phase::Head => Some(self.since.get() + deadlines.head),
            Phase::Requests => self.client_stalls().then(|| self.last_piece.get() + deadlines.idle),
        }
    }

    /// Whether every open request waits for the client to make room for its answer.
    #[must_use]
    pub fn client_stalls(&self) -> bool {
        let waiting = self.waiting_for_client.get();
        waiting > 0 && waiting == self.open_requests.get()
    }
}

/// One request of a connection, from its head to its answer's last byte.
#[derive(Debug)]
pub struct OpenRequest {
    activity: Rc<Activity>,
    waits_for_client: bool,
}

impl OpenRequest {
    /// The answer was given before the body was read: the connection closes after it.
    pub(super) fn closes_early(&self) {
        self.activity.lingers.set(true);
    }

    /// A piece of the answer is ready: the next move is the client's.
    pub(super) fn waits_for_client(&mut self) {
        if self.activity.protocol == Multiplexing::OneRequest {
            return;
        }
        self.activity.last_piece.set(Instant::now());
        if !std::mem::replace(&mut self.waits_for_client, true) {
            self.activity.waiting_for_client.update(|waiting| waiting + 1);
        }
    }

    /// The client took what there was: the next move is the upstream's.
    pub(super) fn waits_for_upstream(&mut self) {
        if std::mem::replace(&mut self.waits_for_client, false) {
            self.activity.waiting_for_client.update(|waiting| waiting - 1);
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.waits_for_upstream();
        let open = self.activity.open_requests.get() - 1;
        self.activity.open_requests.set(open);
        if open == 0 {
            self.activity.phase.set(Phase::Idle);
            self.activity.since.set(Instant::now());
        }
    }
}
