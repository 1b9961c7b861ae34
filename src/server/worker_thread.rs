//! One worker: a thread, its runtime, its sockets.

use std::cell::Cell;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::connection::{Shared, serve};
use super::drain::{Drain, drain};
use crate::gateway::{Snapshot, Worker};
use crate::telemetry::{AccessLog, Metrics};

/// What a worker is told from outside.
#[derive(Debug)]
pub(super) enum Command {
    /// Serve a socket that a crowded worker accepted.
    Adopt(Accepted),
    /// Hand counts over now, and say so.
    Flush(oneshot::Sender<()>),
    /// Stop accepting and end; requests in flight have this long.
    Drain(Duration),
}

/// A fresh connection, not yet of any runtime.
#[derive(Debug)]
pub(super) struct Accepted {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    listener: usize,
}

/// A listener as every worker knows it.
#[derive(Debug, Clone)]
pub(super) struct ListenerPlan {
    /// Its label in metrics: `server.listeners[0]` of the file.
    pub(super) label: String,
    pub(super) tls: Option<Arc<ServerConfig>>,
}

/// What all workers share. Loads are written by each of them, with no order between them: a reader sees sizes, not a
/// moment.
#[derive(Debug)]
pub(super) struct Crew {
    pub(super) listeners: Vec<ListenerPlan>,
    /// Connections of each worker, those on their way to it included.
    pub(super) loads: Vec<IntGauge>,
    pub(super) commands: Vec<UnboundedSender<Command>>,
    pub(super) most_connections: i64,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) control: Handle,
}

impl Crew {
    fn connections(&self) -> i64 {
        self.loads.iter().map(IntGauge::get).sum()
    }

    /// The worker that should serve a fresh connection which `own` accepted. The kernel spreads connections by a
    /// hash, so one worker may get many while another has none.
    fn choose(&self, own: usize) -> usize {
        let load = |worker: usize| self.loads[worker].get();
        let least = (0..self.loads.len()).min_by_key(|&worker| load(worker)).unwrap_or(own);
        if load(own) > load(least) + (load(least) / 4).max(4) { least } else { own }
    }
}

/// Runs a worker until it is told to drain and has, or dies.
///
/// # Errors
/// Where the system gives no runtime or no readiness for a socket.
pub(super) fn run(
    index: usize,
    crew: &Arc<Crew>,
    sockets: Vec<TcpListener>,
    commands: &mut UnboundedReceiver<Command>,
    access_log: Option<AccessLog>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let worker = Worker::new(
            Arc::clone(&crew.snapshot),
            Arc::clone(&crew.metrics),
            access_log,
            crew.control.clone(),
        );
        let (drain, draining) = drain();
        let shared = Rc::new(Shared { worker, metrics: Arc::clone(&crew.metrics), draining });
        let thread = Rc::new(WorkerThread {
            index,
            crew: Arc::clone(crew),
            shared,
            open: Cell::new(0),
            all_closed: Notify::new(),
        });
        for (listener, socket) in sockets.into_iter().enumerate() {
            let socket = tokio::net::TcpListener::from_std(socket)?;
            tokio::task::spawn_local(Rc::clone(&thread).accept(listener, socket));
        }
        tokio::task::spawn_local(Rc::clone(&thread.shared.worker).write_log());
        thread.obey(commands, &drain).await;
        Ok(())
    })
}

struct WorkerThread {
    index: usize,
    crew: Arc<Crew>,
    shared: Rc<Shared>,
    /// Connections whose task runs; unlike the crew's load it counts none that is still on its way here.
    open: Cell<usize>,
    all_closed: Notify,
}

impl WorkerThread {
    async fn obey(self: &Rc<Self>, commands: &mut UnboundedReceiver<Command>, drain: &Drain) {
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let grace = loop {
            tokio::select! {
                // A tick or a command that loses the race comes again at the next turn.
                _ = tick.tick() => self.shared.worker.tick(),
                command = commands.recv() => match command {
                    Some(Command::Adopt(accepted)) => self.adopt(accepted),
                    Some(Command::Flush(done)) => {
                        self.shared.worker.tick();
                        // A scrape that was given up needs no word.
                        let _ = done.send(());
                    }
                    Some(Command::Drain(grace)) => break grace,
                    None => break Duration::ZERO,
                },
            }
        };
        drain.begin();
        let closed = async {
            while self.open.get() > 0 {
                self.all_closed.notified().await;
            }
        };
        if timeout(grace, closed).await.is_err() {
            let open = self.open.get();
            tracing::warn!(worker = self.index, open, "the grace period is over: closing what is still open");
        }
        self.shared.worker.tick();
    }

    async fn accept(self: Rc<Self>, listener: usize, socket: tokio::net::TcpListener) {
        loop {
            let accepted = tokio::select! {
                biased;
                // What the kernel has queued but nobody accepted is closed with the socket. The supervisor holds that
                // too: to drop this end alone would leave new clients in a queue that nobody serves.
                () = self.shared.draining.begun() => {
                    if let Err(error) = SockRef::from(&socket).shutdown(Shutdown::Both) {
                        tracing::warn!("can't stop listening: {error}");
                    }
                    return;
                }
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.welcome(stream, peer, listener),
                Err(error) => {
                    // Out of descriptors, most likely: those in use must close before another try can help.
                    tracing::warn!("can't accept a connection: {error}");
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn welcome(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr, listener: usize) {
        if self.crew.connections() >= self.crew.most_connections {
            self.crew.metrics.connections_refused.inc();
            return;
        }
        let chosen = self.crew.choose(self.index);
        self.crew.loads[chosen].inc();
        if chosen == self.index {
            return self.start(stream, peer, listener);
        }
        let Ok(stream) = stream.into_std() else {
            self.crew.loads[chosen].dec();
            return;
        };
        self.crew.metrics.connections_handed_over.inc();
        let given = self.crew.commands[chosen].send(Command::Adopt(Accepted { stream, peer, listener }));
        if given.is_err() {
            self.crew.loads[chosen].dec();
        }
    }

    fn adopt(self: &Rc<Self>, accepted: Accepted) {
        match TcpStream::from_std(accepted.stream) {
            Ok(stream) => self.start(stream, accepted.peer, accepted.listener),
            Err(error) => {
                self.crew.loads[self.index].dec();
                tracing::warn!("can't serve a connection: {error}");
            }
        }
    }

    /// The connection counts in this worker's load already.
    fn start(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr, listener: usize) {
        let place = Place::take(self, listener);
        let tls = self.crew.listeners[listener].tls.clone();
        let shared = Rc::clone(&self.shared);
        tokio::task::spawn_local(async move {
            let _place = place;
            serve(shared, stream, peer, tls).await;
        });
    }
}

/// A connection's place in the counts; given back when it is dropped.
struct Place {
    thread: Rc<WorkerThread>,
    open_connections: IntGauge,
}

impl Place {
    fn take(thread: &Rc<WorkerThread>, listener: usize) -> Self {
        let label = [thread.crew.listeners[listener].label.as_str()];
        let metrics = &thread.crew.metrics;
        metrics.connections.with_label_values(&label).inc();
        let open_connections = metrics.open_connections.with_label_values(&label);
        open_connections.inc();
        thread.open.set(thread.open.get() + 1);
        Self { thread: Rc::clone(thread), open_connections }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open_connections.dec();
        self.thread.crew.loads[self.thread.index].dec();
        let open = self.thread.open.get() - 1;
        self.thread.open.set(open);
        if open == 0 {
            self.thread.all_closed.notify_one();
        }
    }
}
