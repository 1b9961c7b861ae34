//! A request's whole way on one worker, over a connection in memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::{Builder, Handle, LocalOptions};

use super::{Activity, Client, Inbound, Multiplexing, Snapshot, Worker, echo, handle};
use crate::base::UnixTime;
use crate::telemetry::Metrics;

const FILE: &str = "
server: { listeners: { address: 127.0.0.1:0 } }
upstreams: { echo: { builtin: echo } }
routes:
  - { name: all, match: { path: /* }, auth: none, upstream: echo }
  - { name: bare, match: { path: /bare/* }, auth: none, identity: { token: remove }, upstream: echo }
";

fn serve(metrics: &Arc<Metrics>) -> DuplexStream {
    let config = crate::config::read_text(FILE, Path::new("gateway.yaml"), &|_| None).expect("a valid file");
    let snapshot = Arc::new(Snapshot::new(&config, &[], None));
    let worker = Worker::new(snapshot, Arc::clone(metrics), None, Handle::current());
    let client = Rc::new(Client::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), false));
    let activity = Activity::new(Multiplexing::OneRequest);
    let (ours, theirs) = duplex(64 * 1024);
    let service = service_fn(move |request: Request<Incoming>| {
        let (worker, client) = (Rc::clone(&worker), Rc::clone(&client));
        let inbound = Inbound { request, open: activity.begin_request() };
        async move { Ok::<_, std::convert::Infallible>(handle(&worker, &client, inbound, UnixTime(0)).await) }
    });
    tokio::task::spawn_local(http1::Builder::new().serve_connection(TokioIo::new(theirs), service));
    ours
}

async fn answer(connection: &mut DuplexStream, path: &str) -> String {
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Token the-apps-own\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") && !answer.ends_with(b"}\n") {
        assert_ne!(connection.read_buf(&mut answer).await.expect("an answer"), 0, "closed");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

async fn status(connection: &mut DuplexStream, path: &str) -> String {
    answer(connection, path).await[9..12].to_owned()
}

fn run(test: impl Future<Output = ()>) {
    let runtime =
        Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).expect("a runtime");
    runtime.block_on(test);
}

/// The application may have credentials of its own there, which are none of the gateway's business.
#[test]
fn an_open_route_forwards_authorization_unless_it_says_remove() {
    run(async {
        let mut connection = serve(&Arc::new(Metrics::new()));
        assert!(answer(&mut connection, "/").await.contains("the-apps-own"));
        assert!(!answer(&mut connection, "/bare/").await.contains("the-apps-own"));
    });
}

#[test]
fn a_panic_in_one_request_answers_500_and_ends_nothing_else() {
    run(async {
        let metrics = Arc::new(Metrics::new());
        let mut connection = serve(&metrics);
        assert_eq!(status(&mut connection, "/before").await, "200");
        assert_eq!(status(&mut connection, echo::DEFECT).await, "500");
        assert_eq!(status(&mut connection, "/after").await, "200");
        assert_eq!(metrics.request_panics.get(), 1);
    });
}
