//! How long a client may take for each step.

use super::*;

#[tokio::test]
async fn a_head_that_drips_is_408_and_counted_while_an_idle_connection_stays() {
    let app = Upstream::echo().await;
    let gate =
        Tollgate::start(open(&app).set("server.limits", json!({ "header_read_timeout": "300ms" }))).await;
    let idle = gate.client(Protocol::Http1).connect().await;
    assert_eq!(idle.get("/").await.status, 200);
    let fresh = gate.client(Protocol::Http1).connect().await;

    // Its timer starts after those of the idle ones could have.
    let mut slow = gate.raw().await;
    slow.send("GET / HTTP/1.1\r\nHost: loc").await;
    let answer = slow.answer().await.expect("an answer");
    assert_refused(&answer, 408, "request_timeout");
    assert_eq!(slow.rest().await, b"", "the connection is closed");
    let timeouts = gate.metrics().await;
    assert_eq!(timeouts.sum("tollgate_connection_timeouts_total", &[("kind", "head")]), 1.0);

    assert_eq!(idle.get("/").await.status, 200);
    assert_eq!(fresh.get("/").await.status, 200);
    assert_eq!(app.requests_seen(), 3);
}

#[tokio::test]
async fn a_second_head_that_drips_is_timed_too() {
    let app = Upstream::echo().await;
    let gate =
        Tollgate::start(open(&app).set("server.limits", json!({ "header_read_timeout": "300ms" }))).await;
    let mut raw = gate.raw().await;
    raw.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(raw.answer().await.unwrap().status(), 200);
    raw.send("GET / HT").await;
    assert_refused(&raw.answer().await.expect("an answer"), 408, "request_timeout");
}

#[tokio::test]
async fn a_connection_that_lies_idle_for_too_long_is_closed_and_counted() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app).set("server.limits", json!({ "idle_timeout": "300ms" }))).await;
    let mut used = gate.raw().await;
    used.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(used.answer().await.unwrap().status(), 200);
    assert_eq!(used.rest().await, b"");
    let mut unused = gate.raw().await;
    assert_eq!(unused.rest().await, b"");
    let metrics = gate.metrics().await;
    assert_eq!(metrics.sum("tollgate_connection_timeouts_total", &[("kind", "idle")]), 2.0);
}

#[tokio::test]
async fn an_http_2_connection_that_lies_idle_is_closed_whatever_became_of_its_last_stream() {
    let word = Arc::new(Notify::new());
    let app = Upstream::scripted([Step::Read, Step::Await(Arc::clone(&word)), Step::Stall]).await;
    let quick = Upstream::echo().await;
    let file =
        open(&app).open_route("/quick", &quick).set("server.limits", json!({ "idle_timeout": "300ms" }));
    let gate = Tollgate::start(file).await;
    let answered = gate.client(Protocol::Http2).connect().await;
    assert_eq!(answered.get("/quick").await.status, 200);
    gate.metrics_until("the end of an answered connection", |metrics| {
        metrics.sum("tollgate_open_connections", &[]) == 0.0
    })
    .await;

    let cancelled = gate.client(Protocol::Http2).connect().await;
    let asking = cancelled.get("/stalls").spawn();
    app.request(1).await;
    asking.abort();
    gate.log_line("the abandoned request", |line| line["status"] == 499).await;
    gate.metrics_until("the end of a connection whose stream was cancelled", |metrics| {
        metrics.sum("tollgate_open_connections", &[]) == 0.0
    })
    .await;
    word.notify_one();
}

#[tokio::test]
async fn a_tls_handshake_that_does_not_end_is_cut_and_counted() {
    let app = Upstream::echo().await;
    let gate =
        Tollgate::start(open(&app).set("server.limits", json!({ "tls_handshake_timeout": "300ms" }))).await;
    let mut silent = TcpStream::connect(gate.address()).await.unwrap();
    let mut nothing = Vec::new();
    within("the end of the connection", silent.read_to_end(&mut nothing)).await.ok();
    assert_eq!(nothing, b"");
    let metrics = gate.metrics().await;
    assert_eq!(metrics.sum("tollgate_tls_handshakes_total", &[("outcome", "timeout")]), 1.0);
    assert_eq!(metrics.sum("tollgate_tls_handshakes_total", &[("outcome", "ok")]), 0.0);
}

#[tokio::test]
async fn a_handshake_that_is_no_tls_is_counted_as_failed() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    let mut plain = Client::new(gate.address(), None, Protocol::Http1).raw().await;
    plain.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    plain.rest().await;
    let failed = |metrics: &support::Metrics| {
        metrics.sum("tollgate_tls_handshakes_total", &[("outcome", "failed")]) == 1.0
    };
    gate.metrics_until("the failed handshake", failed).await;
    assert_eq!(app.requests_seen(), 0);
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_let_go_and_counted() {
    let app = Upstream::start(|_| Reply::new(200, vec![b'a'; 50_000_000])).await;
    let gate = Tollgate::start(open(&app).set("server.limits", json!({ "idle_timeout": "300ms" }))).await;
    let mut raw = gate.raw().await;
    raw.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    // Nobody reads: what the sockets hold is all that moves.
    let stalled = |metrics: &support::Metrics| {
        metrics.sum("tollgate_connection_timeouts_total", &[("kind", "stalled")]) == 1.0
    };
    gate.metrics_until("the stalled connection", stalled).await;
    app.connections_closed(1).await;
    gate.log_line("the answer that was not taken", |line| line["reason"] == "client_gone").await;
    drop(raw);
}

#[tokio::test]
async fn a_request_body_that_stops_coming_is_408() {
    let app = Upstream::start(|_| Reply::new(200, "")).await;
    let gate = Tollgate::start(open(&app).set("server.limits", json!({ "idle_timeout": "300ms" }))).await;
    let mut raw = gate.raw().await;
    raw.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc").await;
    assert_refused(&raw.answer().await.expect("an answer"), 408, "request_timeout");
    gate.log_line("the refusal", |line| line["reason"] == "body_timeout").await;
    assert!(settle(&gate, &app).await.iter().all(|request| !request.complete));
}
