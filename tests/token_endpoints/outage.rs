//! What the endpoints answer when they can't do their part, and that nobody else notices.

use std::fs;
use std::future::IntoFuture as _;
use std::sync::mpsc::{self, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Executor};
use tokio::sync::oneshot;

use crate::support::{Answer, Protocol, block_on};
use crate::{
    PASSWORD, Pair, Site, USER, assert_refused, blacklist, credentials, login, pair, refresh, verify,
};

const DATABASE: &str = "data/tollgate.db";
const REQUESTS: &str = "tollgate_token_endpoint_requests_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_locked_database_is_told_to_clients_and_delays_nobody_else() {
    let site = Site::start().await;
    let tokens = login(&site.connect().await).await;
    let mut stranger = stranger(&site).await;
    stranger.execute("BEGIN EXCLUSIVE").await.unwrap();

    let connections = [site.connect().await, site.connect().await, site.connect().await];
    let start = Instant::now();
    let outage = async {
        let (issued, refreshed, blacklisted) = tokio::join!(
            async { connections[0].post("/api/token/").json(credentials(USER, PASSWORD)).await },
            refresh(&connections[1], &tokens.refresh),
            blacklist(&connections[2], &tokens.refresh),
        );
        [issued, refreshed, blacklisted]
    };
    let (answers, proxied) = beside(&site, &tokens, outage).await;
    let took = start.elapsed();
    for answer in &answers {
        assert_unavailable(answer);
    }
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(proxied.count > 50 && proxied.slowest < took / 2, "{proxied:?} within {took:?}");

    // Who waits behind others for the one that writes may learn less than those.
    let causes = ["locked", "no answer within"];
    assert_outage_is_reported(&site, &["obtain", "refresh", "blacklist"], &causes).await;
    // Readers need no lock.
    assert_eq!(verify(&connections[0], &tokens.access).await.status, 200);

    stranger.execute("ROLLBACK").await.unwrap();
    // What was refused has not been done by half: the refresh token is as good as before.
    pair(&refresh(&connections[1], &tokens.refresh).await);
    login(&connections[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_database_whose_folder_is_gone_is_told_to_clients_until_it_is_back() {
    is_told_until_it_is_back("data").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_database_file_that_is_gone_is_told_to_clients_until_it_is_back() {
    is_told_until_it_is_back(DATABASE).await;
}

async fn is_told_until_it_is_back(what: &str) {
    let site = Site::start().await;
    let connection = site.connect().await;
    let tokens = login(&connection).await;
    let (here, away) = (site.gate.home.path(what), site.gate.home.path("away"));
    fs::rename(&here, &away).unwrap();

    let start = Instant::now();
    let outage = async {
        [
            connection.post("/api/token/").json(credentials(USER, PASSWORD)).await,
            refresh(&connection, &tokens.refresh).await,
            verify(&connection, &tokens.access).await,
            blacklist(&connection, &tokens.refresh).await,
        ]
    };
    let (answers, proxied) = beside(&site, &tokens, outage).await;
    let took = start.elapsed();
    for answer in &answers {
        assert_unavailable(answer);
    }
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(proxied.count > 0, "{proxied:?}");
    assert_outage_is_reported(&site, &["obtain", "refresh", "verify", "blacklist"], &["tollgate.db"]).await;
    assert!(!here.exists(), "no new database is made in the place of the one that is missing");

    fs::rename(&away, &here).unwrap();
    pair(&refresh(&connection, &tokens.refresh).await);
    login(&connection).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_storm_of_logins_is_turned_away_and_delays_nobody_else() {
    let site = Site::start().await;
    let tokens = login(&site.connect().await).await;
    let mut connections = Vec::new();
    for _ in 0..6 {
        connections.push(site.gate.client(Protocol::Http2).connect().await);
    }
    let storm = join_all((0..300).map(|index| {
        let connection = &connections[index % connections.len()];
        connection.post("/api/token/").json(credentials(USER, PASSWORD)).into_future()
    }));
    let start = Instant::now();
    let (answers, proxied) = beside(&site, &tokens, storm).await;
    let took = start.elapsed();
    let (issued, busy): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    for answer in &busy {
        assert_refused(answer, 503, "login_busy");
        assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
    }
    assert!(issued.len() >= 64, "those who waited are served: {}", issued.len());
    assert!(busy.len() >= 100, "most are turned away: {}", busy.len());
    // Two at a time, these logins take dozens of hashes: a request that waited for a few of them would show.
    assert!(proxied.count > 50 && proxied.median < took / 40, "{proxied:?} within {took:?}");
    assert!(proxied.slowest < took / 2, "{proxied:?} within {took:?}");
    let labels = [("endpoint", "obtain"), ("outcome", "busy")];
    site.gate.metrics_until("the refusals", |metrics| metrics.sum(REQUESTS, &labels) >= 100.0).await;
    site.gate.log_line("a refusal", |line| line["outcome"] == "busy" && line["status"] == 503).await;
    login(&connections[0]).await;
}

/// How proxied requests fared.
#[derive(Debug)]
struct Proxied {
    count: usize,
    median: Duration,
    slowest: Duration,
}

/// Sends one request after another through a route, with a token, until `other` is done: from a thread of its own, so
/// that what the test does besides takes none of its time.
async fn beside<T>(site: &Site, tokens: &Pair, other: impl Future<Output = T>) -> (T, Proxied) {
    let client = site.gate.client(Protocol::Http1);
    let token = tokens.access.clone();
    let (stop, stopped) = mpsc::channel::<()>();
    let (started, start) = oneshot::channel();
    let asking = thread::spawn(move || {
        block_on(async {
            let connection = client.connect().await;
            let ask = async || {
                let start = Instant::now();
                let answer = connection.get("/").bearer(&token).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                start.elapsed()
            };
            ask().await;
            started.send(()).unwrap();
            let mut times = Vec::new();
            while stopped.try_recv() == Err(TryRecvError::Empty) {
                times.push(ask().await);
            }
            times
        })
    });
    start.await.unwrap();
    let done = other.await;
    drop(stop);
    let mut times = asking.join().unwrap();
    times.sort_unstable();
    let proxied =
        Proxied { count: times.len(), median: times[times.len() / 2], slowest: times[times.len() - 1] };
    (done, proxied)
}

fn assert_unavailable(answer: &Answer) {
    assert_refused(answer, 503, "store_unavailable");
    assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{answer:?}");
}

/// By the metric, by the access log, and with its cause by the event log.
async fn assert_outage_is_reported(site: &Site, endpoints: &[&str], causes: &[&str]) {
    for endpoint in endpoints {
        let labels = [("endpoint", *endpoint), ("outcome", "store_unavailable")];
        site.gate.metrics_until(endpoint, |metrics| metrics.sum(REQUESTS, &labels) >= 1.0).await;
    }
    let outcome = "store_unavailable";
    site.gate.log_line("the outage", |line| line["outcome"] == outcome && line["status"] == 503).await;
    let lines = site.gate.lines();
    let says_why = |line: &String| causes.iter().any(|cause| line.contains(cause));
    let told = lines.iter().any(|line| line.contains("a token endpoint failed") && says_why(line));
    assert!(told, "no line says why: {lines:#?}");
}

/// A connection to the gateway's database that is none of its own.
pub(crate) async fn stranger(site: &Site) -> SqliteConnection {
    SqliteConnectOptions::new().filename(site.gate.home.path(DATABASE)).connect().await.unwrap()
}
