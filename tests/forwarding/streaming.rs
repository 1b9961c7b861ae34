//! Bodies that pass piece by piece, whole or not at all, both ways.

use super::*;

#[tokio::test]
async fn an_answer_reaches_the_client_piece_by_piece() {
    for framing in ["Transfer-Encoding: chunked", "Content-Length: 10"] {
        let chunked = framing.starts_with('T');
        let piece = |text: &str| if chunked { format!("5\r\n{text}\r\n") } else { text.to_owned() };
        let word = Arc::new(Notify::new());
        let app = Upstream::scripted([
            Step::Read,
            Step::send(&format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{framing}\r\n\r\n")),
            Step::Await(Arc::clone(&word)),
            Step::send(&piece("first")),
            Step::Await(Arc::clone(&word)),
            Step::send(&piece("later")),
            Step::send(if chunked { "0\r\n\r\n" } else { "" }),
            Step::Stall,
        ])
        .await;
        let gate = Tollgate::start(open(&app)).await;
        for protocol in Protocol::BOTH {
            let mut answer = gate.client(protocol).get("/").head().await;
            assert_eq!(answer.status, 200);
            word.notify_one();
            assert_eq!(answer.next().await.unwrap().unwrap(), "first");
            word.notify_one();
            assert_eq!(answer.rest().await.unwrap(), "later");
        }
    }
}

#[tokio::test]
async fn a_request_reaches_the_upstream_piece_by_piece() {
    let word = Arc::new(Notify::new());
    let app = Upstream::scripted([
        Step::ReadUntil(b"first".to_vec()),
        Step::Tell(Arc::clone(&word)),
        Step::ReadUntil(b"later".to_vec()),
        Step::ReadUntil(b"0\r\n\r\n".to_vec()),
        Step::send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
        Step::Stall,
    ])
    .await;
    let gate = Tollgate::start(open(&app)).await;
    for protocol in Protocol::BOTH {
        let (pieces, body) = mpsc::channel(1);
        let asking = gate.client(protocol).post("/").pieces(body).spawn();
        pieces.send("first".into()).await.unwrap();
        within("the first piece at the upstream", word.notified()).await;
        pieces.send("later".into()).await.unwrap();
        drop(pieces);
        assert_eq!(within("an answer", asking).await.unwrap().text(), "ok");
    }
}

#[tokio::test]
async fn both_directions_stream_at_once() {
    let app = Upstream::scripted([
        Step::ReadUntil(b"one".to_vec()),
        Step::send("HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nONE\r\n"),
        Step::ReadUntil(b"two".to_vec()),
        Step::send("3\r\nTWO\r\n"),
        Step::ReadUntil(b"0\r\n\r\n".to_vec()),
        Step::send("0\r\n\r\n"),
        Step::Stall,
    ])
    .await;
    let gate = Tollgate::start(open(&app)).await;
    for protocol in Protocol::BOTH {
        let (pieces, body) = mpsc::channel(1);
        pieces.send("one".into()).await.unwrap();
        let mut answer = gate.client(protocol).post("/").pieces(body).head().await;
        assert_eq!(answer.next().await.unwrap().unwrap(), "ONE");
        pieces.send("two".into()).await.unwrap();
        assert_eq!(answer.next().await.unwrap().unwrap(), "TWO");
        drop(pieces);
        assert_eq!(answer.rest().await.unwrap(), "");
    }
}

#[tokio::test]
async fn large_bodies_pass_whole_both_ways() {
    let app = Upstream::start(|request| Reply::new(200, request.body.clone())).await;
    let gate = Tollgate::start(open(&app)).await;
    let body: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
    for protocol in Protocol::BOTH {
        let answer = gate.client(protocol).post("/").body(body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, body.len()));
        assert!(answer.body == body);
    }
}

#[tokio::test]
async fn expect_100_continue_is_answered_once_the_upstream_takes_the_body() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    let mut raw = gate.raw().await;
    raw.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    let interim = raw.interim_answer().await;
    assert!(interim.starts_with("HTTP/1.1 100"), "{interim}");
    raw.send("hello").await;
    let answer = raw.answer().await.unwrap().json();
    assert_eq!(answer["body"], "hello");
    assert_eq!(got(&answer, "expect"), Vec::<String>::new());
}

#[tokio::test]
async fn a_request_that_is_refused_never_asks_for_its_body() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(config().open_route("/open", &app)).await;
    let mut raw = gate.raw().await;
    raw.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(raw.answer().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_request_body_that_breaks_off_is_never_whole_at_the_upstream() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    for head in ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
        app.forget();
        let mut raw = gate.raw().await;
        raw.send(format!("POST /broken HTTP/1.1\r\nHost: localhost\r\n{head}")).await;
        raw.half_close().await;
        raw.rest().await;
        assert!(!app.request(1).await.complete, "{head}");
    }
}
