//! Keeps the workers running. It owns their sockets, so that a worker which died starts again on the very descriptors
//! in whose queues its clients wait.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::worker_thread::{self, Command, Crew};
use crate::telemetry::{AccessLogMaker, AccessLogThread};

/// The workers of the process.
#[derive(Debug)]
pub(super) struct Supervisor {
    crew: Arc<Crew>,
    threads: Vec<JoinHandle<()>>,
}

impl Supervisor {
    /// Starts one thread for each receiver of commands. `sockets` has one list of listeners for each.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(super) fn start(
        crew: &Arc<Crew>,
        receivers: Vec<UnboundedReceiver<Command>>,
        sockets: Vec<Vec<TcpListener>>,
        log: Option<&AccessLogThread>,
    ) -> io::Result<Self> {
        let mut threads = Vec::with_capacity(receivers.len());
        for (index, (commands, sockets)) in receivers.into_iter().zip(sockets).enumerate() {
            let crew = Arc::clone(crew);
            // The writer's end outlives the worker that uses it: a new worker needs one too.
            let log = log.map(AccessLogThread::maker);
            let name = format!("worker-{index}");
            let keep = move || keep_running(index, &crew, &sockets, commands, log.as_ref());
            threads.push(std::thread::Builder::new().name(name).spawn(keep)?);
        }
        Ok(Self { crew: Arc::clone(crew), threads })
    }

    /// Asks every worker for its counts; those that do not answer in time are left out.
    pub(super) async fn flush(crew: &Crew) {
        let mut waiting = Vec::with_capacity(crew.commands.len());
        for commands in &crew.commands {
            let (done, flushed) = oneshot::channel();
            if commands.send(Command::Flush(done)).is_ok() {
                waiting.push(flushed);
            }
        }
        for flushed in waiting {
            // A worker in trouble must not keep the operator from the others' figures.
            let _ = timeout(Duration::from_millis(250), flushed).await;
        }
    }

    /// Lets requests in flight end within the grace period, then ends the workers.
    pub(super) fn drain(self, grace: Duration) {
        for commands in &self.crew.commands {
            // A worker that is gone has nothing to drain.
            let _ = commands.send(Command::Drain(grace));
        }
        for thread in self.threads {
            // A panic was reported where it happened.
            let _ = thread.join();
        }
    }
}

fn keep_running(
    index: usize,
    crew: &Arc<Crew>,
    sockets: &[TcpListener],
    mut commands: UnboundedReceiver<Command>,
    log: Option<&AccessLogMaker>,
) {
    loop {
        let run = std::panic::AssertUnwindSafe(|| {
            let sockets = sockets.iter().map(TcpListener::try_clone).collect::<io::Result<Vec<_>>>()?;
            worker_thread::run(index, crew, sockets, &mut commands, log.map(AccessLogMaker::make))
        });
        let outcome = std::panic::catch_unwind(run);
        match outcome {
            // It was told to drain, and has.
            Ok(Ok(())) => return,
            Ok(Err(error)) => tracing::error!(worker = index, "a worker failed, starting it again: {error}"),
            Err(_panic) => tracing::error!(worker = index, "a worker panicked, starting it again"),
        }
        crew.metrics.worker_restarts.inc();
        // A worker that fails at once must not spin; commands that came meanwhile wait for the next one.
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Snapshot;
    use crate::server::worker_thread::ListenerPlan;
    use crate::telemetry::Metrics;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::path::Path;
    use tokio::runtime::Handle;
    use tokio::sync::mpsc::unbounded_channel;

    const FILE: &str = "
upstreams: { echo: { builtin: echo } }
routes: [ { match: { path: /* }, auth: none, upstream: echo } ]";

    fn crew(commands: tokio::sync::mpsc::UnboundedSender<Command>, control: Handle) -> Arc<Crew> {
        let config =
            crate::config::read_text(FILE, Path::new("gateway.yaml"), &|_| None).expect("a valid file");
        let metrics = Arc::new(Metrics::new());
        Arc::new(Crew {
            listeners: vec![ListenerPlan { label: "server.listeners[0]".into(), tls: None }],
            loads: vec![metrics.worker_connections.with_label_values(&["0"])],
            commands: vec![commands],
            most_connections: 10,
            snapshot: Arc::new(Snapshot::new(&config, &[], None)),
            metrics,
            control,
        })
    }

    #[test]
    fn a_worker_that_died_starts_again_on_the_socket_in_whose_queue_its_clients_wait() {
        let control = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let (sender, receiver) = unbounded_channel();
        let crew = crew(sender, control.handle().clone());
        // A blocking socket is what no worker can start with.
        let socket = TcpListener::bind("127.0.0.1:0").expect("bound");
        let mut waiting =
            TcpStream::connect(socket.local_addr().expect("bound")).expect("queued by the kernel");
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        waiting.write_all(request).expect("written");
        let held = socket.try_clone().expect("a second end of the same socket");

        let supervisor =
            Supervisor::start(&crew, vec![receiver], vec![vec![socket]], None).expect("a thread");
        while crew.metrics.worker_restarts.get() == 0 {
            std::thread::yield_now();
        }
        held.set_nonblocking(true).expect("the worker's end too");
        let mut answer = String::new();
        waiting.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        supervisor.drain(Duration::from_secs(1));
    }
}
