//! Connections to the upstream: shared, looked at before use, closed.

use super::*;

#[tokio::test]
async fn one_connection_to_the_upstream_serves_many_clients_in_turn() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app).set("server.workers", json!(1))).await;
    for number in 0..30 {
        let protocol = Protocol::BOTH[number % 2];
        assert_eq!(gate.client(protocol).post("/").body("hello").await.status, 200);
    }
    assert_eq!(app.connections_seen(), 1);
    let metrics = gate.metrics().await;
    let kind = |kind| metrics.sum("tollgate_upstream_connections_total", &[("kind", kind)]);
    assert_eq!((kind("opened"), kind("reused"), kind("stale")), (1.0, 29.0, 0.0));
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_meanwhile_is_found_before_it_is_used() {
    const CLIENTS: usize = 8;
    const ROUNDS: usize = 12;
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        clients.push(gate.client(Protocol::BOTH[number % 2]).connect().await);
    }
    for _ in 0..ROUNDS {
        let asking: Vec<_> = clients.iter().map(|client| client.post("/").body("x").spawn()).collect();
        for answer in asking {
            assert_eq!(within("an answer", answer).await.unwrap().status, 200);
        }
        app.close_idle_connections();
        app.connections_closed(app.connections_seen()).await;
    }
    let metrics = gate.metrics().await;
    assert_eq!(metrics.sum("tollgate_upstream_failures_total", &[]), 0.0);
    assert_eq!(metrics.sum("tollgate_requests_total", &[("status", "200")]), 96.0);
    assert!(metrics.sum("tollgate_upstream_connections_total", &[("kind", "opened")]) >= 12.0);
}

#[tokio::test]
async fn a_connection_that_closes_behind_a_request_which_came_first_is_not_used_for_it() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app).set("server.workers", json!(1))).await;
    let request = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx";
    let mut client = gate.raw().await;
    assert_eq!(ask(&mut client, request).await.status(), 200);
    for round in 1..=5 {
        // The worker finds both at once, the request first: only the kernel knows of the other yet.
        gate.freeze().await;
        client.send(request).await;
        app.close_idle_connections();
        app.connections_closed(round).await;
        gate.thaw();
        let answer = client.answer().await.expect("an answer");
        assert_eq!(answer.status(), 200, "round {round}: {}", answer.text());
    }
    let metrics = gate.metrics().await;
    assert_eq!(metrics.sum("tollgate_upstream_connections_total", &[("kind", "stale")]), 5.0);
}

#[tokio::test]
async fn a_connection_on_which_the_upstream_spoke_unasked_is_not_used_again() {
    let spoke = Arc::new(Notify::new());
    let app = Upstream::scripted([
        Step::Read,
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned"),
        Step::Tell(Arc::clone(&spoke)),
        Step::Read,
        Step::Stall,
    ])
    .await;
    let gate = Tollgate::start(open(&app).set("server.workers", json!(1))).await;
    for _ in 0..3 {
        assert_eq!(gate.get("/").await.text(), "ok");
        within("the upstream's unasked word", spoke.notified()).await;
    }
    assert_eq!(app.connections_seen(), 3);
}

#[tokio::test]
async fn an_upstream_that_wants_its_connection_closed_gets_no_second_request_on_it() {
    let app =
        answering("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", Step::Stall).await;
    let gate = Tollgate::start(open(&app).set("server.workers", json!(1))).await;
    for _ in 0..3 {
        assert_eq!(gate.get("/").await.text(), "ok");
    }
    app.connections_closed(3).await;
}

#[tokio::test]
async fn an_idle_connection_to_the_upstream_is_closed_after_its_time() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open_with(&app, json!({ "timeouts": { "idle": "100ms" } }))).await;
    assert_eq!(gate.get("/").await.status, 200);
    app.connections_closed(1).await;
    assert_eq!(gate.get("/").await.status, 200);
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_upstream_connection_along() {
    let app = answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", Step::Stall).await;
    let gate = Tollgate::start(open(&app)).await;
    for (number, protocol) in Protocol::BOTH.into_iter().enumerate() {
        let mut answer = gate.client(protocol).get("/").head().await;
        assert_eq!(answer.next().await.unwrap().unwrap(), "abc");
        drop(answer);
        app.connections_closed(number + 1).await;
    }
    gate.log_line("the abandoned answer", |line| line["reason"] == "client_gone").await;
}
