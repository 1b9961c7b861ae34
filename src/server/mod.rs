//! The running gateway: what is opened in which order at start, and closed at stop.
//!
//! A worker for each core serves the traffic; a small runtime beside them, the control plane, does everything that may
//! wait. [`run`] shows the order.

mod banner;
mod client_io;
pub mod clock;
mod connection;
mod development;
mod drain;
mod listeners;
mod supervisor;
mod tls;
mod worker_thread;

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;

pub use listeners::BindError;
pub use tls::TlsError;

use crate::admin::{self, Admin};
use crate::config::{self, Config, FilePlace};
use crate::gateway::Snapshot;
use crate::issuer::{Issuer, OpenError, Shared};
use crate::providers::{self, Fetching, Provider, ProviderError};
use crate::revocations::{Keeper, Naming, Revocations};
use crate::store::ClaimQueries;
use crate::telemetry::{AccessLogThread, Metrics};
use supervisor::Supervisor;
use worker_thread::{Crew, ListenerPlan};

/// The gateway can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What development mode makes can't be made.
    #[error(transparent)]
    Development(#[from] development::DevelopmentError),
    /// The issuer's key or database.
    #[error(transparent)]
    Issuer(#[from] OpenError),
    /// A provider's keys.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// A listener's certificate.
    #[error("{key}: {source}")]
    Tls {
        /// Which key of the file names it.
        key: String,
        /// What is wrong.
        source: Box<TlsError>,
    },
    /// An address.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system gives no thread, runtime or signal.
    #[error("the system refuses a resource: {0}")]
    System(#[from] std::io::Error),
}

impl StartError {
    /// The place in the file, where the error names it itself.
    #[must_use]
    pub fn place(&self) -> Option<&FilePlace> {
        match self {
            Self::Issuer(OpenError::Query(error)) => Some(error.place()),
            Self::Issuer(_)
            | Self::Development(_)
            | Self::Provider(_)
            | Self::Tls { .. }
            | Self::Bind(_)
            | Self::System(_) => None,
        }
    }
}

/// How long a start waits for keys that are fetched. Long enough for a provider that is well, so that the first requests
/// find its keys; short enough for all others.
const FIRST_FETCHES: Duration = Duration::from_secs(1);

/// How long a stop waits for a site's blacklist to take what it was not told of yet.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// What the file names, loaded.
struct Prepared {
    providers: Vec<Arc<Provider>>,
    snapshot: Arc<Snapshot>,
    listeners: Vec<ListenerPlan>,
}

async fn prepare(config: &Config, metrics: &Arc<Metrics>) -> Result<Prepared, StartError> {
    let issuer = match &config.issuer {
        Some(issuer) => {
            let naming = Naming::of(&issuer.form);
            let revocations = Revocations::named(naming, config.revocations.start_without);
            let shared = Shared { revocations, metrics: Arc::clone(metrics) };
            let opened = Issuer::open(issuer, config.development, cores(), clock::now(), shared);
            Some(Arc::new(opened.await?))
        }
        None => None,
    };
    let own_keys = issuer.as_ref().map(|issuer| issuer.key_set());
    let providers = providers::load(&config.providers, own_keys.as_ref())?;
    let listeners = listener_plans(config)?;
    let snapshot = Arc::new(Snapshot::new(config, &providers, issuer));
    Ok(Prepared { providers, snapshot, listeners })
}

fn listener_plans(config: &Config) -> Result<Vec<ListenerPlan>, StartError> {
    let plans = config.server.listeners.iter().enumerate().map(|(index, listener)| {
        let label = format!("server.listeners[{index}]");
        let tls = match &listener.tls {
            Some(tls) => Some(tls::server_config(tls).map_err(|source| StartError::Tls {
                key: format!("{label}.tls.certificates"),
                source: Box::new(source),
            })?),
            None => None,
        };
        Ok(ListenerPlan { label, tls })
    });
    plans.collect()
}

/// Loads the key files and certificates that a valid file names, shows its queries to their databases, and does nothing
/// that a start would make or change. Answers with remarks on what could not be looked at.
///
/// # Errors
/// The first one that can't be used, with the key of the file that names it.
pub fn check(config: &Config) -> Result<Vec<String>, StartError> {
    let foreign = |provider: &&config::Provider| !matches!(provider.keys, config::KeySource::Own);
    let foreign: Vec<config::Provider> = config.providers.iter().filter(foreign).cloned().collect();
    providers::load(&foreign, None)?;
    // A start in development makes them.
    if !config.development {
        listener_plans(config)?;
    }
    let Some(issuer) = &config.issuer else { return Ok(Vec::new()) };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (_, unseen) = runtime.block_on(ClaimQueries::open(&issuer.claims)).map_err(OpenError::from)?;
    Ok(unseen.iter().map(|error| format!("{error}: this query was not checked")).collect())
}

/// Runs the gateway until SIGTERM or Ctrl-C, then lets requests in flight end.
///
/// # Errors
/// [`StartError`] before the first request is taken.
pub fn run(config: &Config) -> Result<(), StartError> {
    let control = control_plane()?;
    if config.development {
        development::make_missing_certificates(config)?;
    }
    let metrics = Arc::new(Metrics::new());
    let prepared = control.block_on(prepare(config, &metrics))?;
    if config.development {
        control.block_on(development::make_demo_user(config, prepared.snapshot.issuer()))?;
    }
    let workers = config.server.workers.map_or_else(cores, NonZeroUsize::get);
    let sockets = bind_listeners(config, workers)?;
    let addresses: Vec<SocketAddr> =
        sockets.iter().map(|sockets| sockets[0].local_addr()).collect::<Result<_, _>>()?;
    let admin_socket = bind_admin(config)?;

    let issuer = prepared.snapshot.issuer().cloned();
    if let Some(issuer) = &issuer {
        start_sessions(&control, issuer, &metrics);
    }
    let fetching = Fetching {
        control: control.handle().clone(),
        metrics: Arc::clone(&metrics),
        state_directory: Some(config.state_directory.clone()),
        clock: clock::now,
    };
    providers::start_fetching(&prepared.providers, &fetching);
    control.block_on(providers::first_fetches(&prepared.providers, FIRST_FETCHES));
    let log = match config.observability.access_log {
        true => Some(AccessLogThread::start(metrics.access_log_dropped.clone())?),
        false => None,
    };
    let (commands, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| unbounded_channel()).unzip();
    let crew = Arc::new(Crew {
        listeners: prepared.listeners,
        loads: (0..workers)
            .map(|worker| metrics.worker_connections.with_label_values(&[worker.to_string()]))
            .collect(),
        commands,
        most_connections: i64::try_from(config.server.limits.connections).unwrap_or(i64::MAX),
        snapshot: prepared.snapshot,
        metrics: Arc::clone(&metrics),
        control: control.handle().clone(),
    });
    // From the first request on a stop is an orderly one.
    let mut stop = control.block_on(async { StopSignals::listen() })?;
    let supervisor = Supervisor::start(&crew, receivers, by_worker(sockets, workers), log.as_ref())?;

    let ready = Arc::new(AtomicBool::new(true));
    metrics.ready.set(1);
    let admin_address = start_admin(&control, admin_socket, &crew, &ready)?;
    banner::print(config, &addresses, admin_address);

    control.block_on(stop.next());
    tracing::info!(grace = ?config.server.shutdown_grace, "stopping: requests in flight may end");
    control.spawn(give_up_at_the_second_signal(stop));
    ready.store(false, Ordering::Relaxed);
    metrics.ready.set(0);
    supervisor.drain(config.server.shutdown_grace);
    drop(crew);
    if let Some(issuer) = issuer {
        control.block_on(issuer.finish_mirroring(LAST_WRITES));
    }
    if let Some(log) = log {
        log.finish();
    }
    control.shutdown_timeout(Duration::from_secs(1));
    tracing::info!("stopped");
    Ok(())
}

/// Loads the revocations, if the database answers at once, and starts what keeps them and the sessions up to date.
fn start_sessions(control: &Runtime, issuer: &Arc<Issuer>, metrics: &Arc<Metrics>) {
    let revocations = Arc::clone(issuer.revocations());
    let mut keeper = Keeper::new(revocations, Arc::clone(issuer.sessions()), Arc::clone(metrics), clock::now);
    control.block_on(keeper.catch_up());
    control.spawn(keeper.run());
    issuer.start_upkeep(control.handle(), clock::now);
}

/// The runtime of everything that may wait.
fn control_plane() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).thread_name("control").enable_all().build()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// One list of sockets for each listener.
fn bind_listeners(config: &Config, workers: usize) -> Result<Vec<Vec<TcpListener>>, BindError> {
    let listeners = config.server.listeners.iter().enumerate();
    let bound = listeners.map(|(index, listener)| {
        listeners::bind(listener.address, workers).map_err(|source| {
            let key = format!("server.listeners[{index}].address");
            BindError::new(listener.address, key, &config.file, source)
        })
    });
    bound.collect()
}

/// One list of sockets for each worker.
fn by_worker(listeners: Vec<Vec<TcpListener>>, workers: usize) -> Vec<Vec<TcpListener>> {
    let mut sockets: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    for listener in listeners {
        for (worker, socket) in listener.into_iter().enumerate() {
            sockets[worker].push(socket);
        }
    }
    sockets
}

fn bind_admin(config: &Config) -> Result<Option<TcpListener>, BindError> {
    let Some(admin) = &config.admin else { return Ok(None) };
    let bound = listeners::bind(admin.address, 1)
        .map_err(|source| BindError::new(admin.address, "admin.address".into(), &config.file, source))?;
    Ok(bound.into_iter().next())
}

fn start_admin(
    control: &Runtime,
    socket: Option<TcpListener>,
    crew: &Arc<Crew>,
    ready: &Arc<AtomicBool>,
) -> std::io::Result<Option<SocketAddr>> {
    let Some(socket) = socket else { return Ok(None) };
    let address = socket.local_addr()?;
    let workers = Arc::downgrade(crew);
    let admin = Admin {
        metrics: Arc::clone(&crew.metrics),
        flush: Box::new(move || {
            let workers = workers.clone();
            Box::pin(async move {
                if let Some(crew) = workers.upgrade() {
                    Supervisor::flush(&crew).await;
                }
            })
        }),
        ready: Arc::clone(ready),
        revocations: Arc::clone(crew.snapshot.revocations()),
    };
    let listener = control.block_on(async { tokio::net::TcpListener::from_std(socket) })?;
    control.spawn(admin::serve(listener, Arc::new(admin), control.handle().clone()));
    Ok(Some(address))
}

/// Whoever asks twice does not want to wait for requests in flight.
async fn give_up_at_the_second_signal(mut stop: StopSignals) {
    stop.next().await;
    tracing::warn!("asked to stop again: closing what is still open");
    std::process::exit(1);
}

/// SIGTERM and Ctrl-C, which end the process by themselves until somebody listens to them.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Must be called on a runtime.
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            // Either is the same wish.
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
