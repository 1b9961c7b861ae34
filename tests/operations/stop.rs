//! The end: requests in flight, and the grace that they get.

use super::*;

/// An upstream whose answer waits for a word.
async fn waiting(word: &Arc<Notify>) -> Upstream {
    Upstream::scripted([
        Step::Read,
        Step::Await(Arc::clone(word)),
        Step::send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlate"),
    ])
    .await
}

async fn used(gate: &Tollgate) -> RawConnection {
    let mut raw = gate.raw().await;
    raw.send("GET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(raw.answer().await.unwrap().status(), 200);
    raw
}

#[tokio::test]
async fn sigterm_lets_requests_in_flight_end_takes_no_new_ones_and_exits_0() {
    let word = Arc::new(Notify::new());
    let (app, quick) = (waiting(&word).await, Upstream::echo().await);
    let gate =
        Tollgate::start(open(&app).open_route("/quick", &quick).set("server.shutdown_grace", json!("60s")))
            .await;
    let mut idle = used(&gate).await;
    let (mut http1, http2) = (gate.raw().await, gate.client(Protocol::Http2).connect().await);
    http1.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    app.request(1).await;
    let asking = http2.get("/slow").spawn();
    app.request(2).await;

    gate.terminate();
    assert_eq!(idle.rest().await, b"", "an idle connection is closed at once");
    let ready = within("the end of readiness", async {
        loop {
            let answer = gate.admin().get("/readyz").await;
            if answer.status != 200 {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(ready.status, 503);
    assert_eq!(gate.admin().get("/healthz").await.status, 200, "it still lives");
    within("connections to be refused", async {
        loop {
            match TcpStream::connect(gate.address()).await {
                Err(error) => return assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;

    // Both scripts wait by now: each takes one word.
    word.notify_one();
    word.notify_one();
    let answer = http1.answer().await.expect("an answer");
    assert_eq!((answer.status(), answer.body.as_slice()), (200, b"late".as_slice()));
    assert_eq!(http1.rest().await, b"", "and then the connection is closed");
    let answer = within("an answer", asking).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "late"));
    let finished = gate.finish().await;
    assert_eq!(finished.status.code(), Some(0), "{:#?}", finished.lines);
    let logged = |path: &str| finished.lines.iter().filter(|line| line.contains(path)).count();
    assert_eq!((logged("\"/slow\""), logged("\"/quick\"")), (2, 1), "{:#?}", finished.lines);
}

#[tokio::test]
async fn the_grace_period_ends_what_does_not_end_by_itself() {
    let word = Arc::new(Notify::new());
    let app = waiting(&word).await;
    let gate = Tollgate::start(open(&app).set("server.shutdown_grace", json!("300ms"))).await;
    let (http1, http2) = (gate.client(Protocol::Http1).get("/"), gate.client(Protocol::Http2).get("/"));
    let mut asking = tokio::task::JoinSet::new();
    asking.spawn(http1.try_send());
    asking.spawn(http2.try_send());
    app.request(2).await;
    let begin = Instant::now();
    gate.terminate();
    while let Some(outcome) = within("the end of a request", asking.join_next()).await {
        outcome.unwrap().expect_err("an answer from nowhere");
    }
    let finished = gate.finish().await;
    assert_eq!(finished.status.code(), Some(0), "{:#?}", finished.lines);
    assert!(begin.elapsed().as_millis() >= 300, "the grace period was granted");
    assert!(finished.lines.iter().any(|line| line.contains("grace period")), "{:#?}", finished.lines);
}

#[tokio::test]
async fn a_gateway_without_requests_stops_at_once_whatever_the_grace_period() {
    let app = Upstream::echo().await;
    for signal in ["TERM", "INT"] {
        let gate = Tollgate::start(open(&app).set("server.shutdown_grace", json!("1h"))).await;
        let mut http1 = used(&gate).await;
        let http2 = gate.client(Protocol::Http2).connect().await;
        assert_eq!(http2.get("/").await.status, 200);
        gate.signal(signal);
        assert_eq!(http1.rest().await, b"");
        let finished = gate.finish().await;
        assert_eq!(finished.status.code(), Some(0), "{:#?}", finished.lines);
    }
}

#[tokio::test]
async fn a_request_in_the_midst_of_its_body_may_end_too() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app).set("server.shutdown_grace", json!("60s"))).await;
    let mut raw = gate.raw().await;
    raw.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello").await;
    // Its head is in: the upstream has been connected to.
    within("the upstream's connection", async {
        while app.connections_seen() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gate.terminate();
    let ready = async { while gate.admin().request(Method::HEAD, "/readyz").await.status == 200 {} };
    within("the end of readiness", ready).await;
    raw.send("world").await;
    let answer: Value = raw.answer().await.expect("an answer").json();
    assert_eq!(answer["body"], "helloworld");
    assert_eq!(gate.finish().await.status.code(), Some(0));
}
