//! Answers that break off, come late or are none, and those that are unusual and right.

use super::*;

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_for_the_client_too() {
    for after in [Step::HalfClose, Step::Reset] {
        for head in [
            "Content-Length: 10\r\n\r\nabc",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
        ] {
            let taken = Arc::new(Notify::new());
            let app = Upstream::scripted([
                Step::Read,
                Step::send(&format!("HTTP/1.1 200 OK\r\n{head}")),
                Step::Await(Arc::clone(&taken)),
                after.clone(),
            ])
            .await;
            let gate = Tollgate::start(open(&app)).await;
            for protocol in Protocol::BOTH {
                let mut answer = gate.client(protocol).get("/").head().await;
                assert_eq!(answer.status, 200);
                assert_eq!(answer.next().await.unwrap().unwrap(), "abc");
                taken.notify_one();
                answer.rest().await.expect_err("a shortened success");
            }
            let mut raw = gate.raw().await;
            raw.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
            taken.notify_one();
            let answer = raw.answer().await.unwrap();
            assert!(!answer.complete, "{head:?}: {}", answer.text());
            let line = gate.log_line("the failure", |line| line["reason"] == "upstream_broken").await;
            assert_eq!(line["status"], 200);
            let failures = gate.metrics().await;
            assert_eq!(
                failures.sum("tollgate_upstream_failures_total", &[("reason", "upstream_broken")]),
                3.0
            );
        }
    }
}

#[tokio::test]
async fn an_answer_that_stalls_breaks_off_after_the_idle_timeout() {
    let app = answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", Step::Stall).await;
    let gate = Tollgate::start(open_with(&app, json!({ "timeouts": { "idle": "200ms" } }))).await;
    for protocol in Protocol::BOTH {
        let mut answer = gate.client(protocol).get("/").head().await;
        assert_eq!(answer.next().await.unwrap().unwrap(), "abc");
        answer.rest().await.expect_err("a shortened success");
    }
    gate.log_line("the failure", |line| line["reason"] == "upstream_timeout").await;
    app.connections_closed(2).await;
    let failures = gate.metrics().await;
    assert_eq!(failures.sum("tollgate_upstream_failures_total", &[("reason", "upstream_timeout")]), 2.0);
}

#[tokio::test]
async fn an_unreachable_upstream_is_502_and_does_not_tell_where_it_is() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = unused.local_addr().unwrap();
    drop(unused);
    let gate = Tollgate::start(config().push_route(json!({
        "match": { "path": "/*" }, "auth": "none", "upstream": format!("http://{address}"),
    })))
    .await;
    for protocol in Protocol::BOTH {
        let answer = gate.client(protocol).get("/").await;
        assert_eq!(answer.status, 502);
        assert_eq!(answer.json()["code"], "bad_gateway");
        assert!(!answer.text().contains(&address.port().to_string()));
    }
    let line = gate.log_line("the failure", |line| line["status"] == 502).await;
    assert_eq!(line["reason"], "upstream_unreachable");
    let failures = gate.metrics().await;
    assert_eq!(failures.sum("tollgate_upstream_failures_total", &[("reason", "upstream_unreachable")]), 2.0);
}

#[tokio::test]
async fn a_slow_upstream_is_504_after_the_response_timeout() {
    let app = Upstream::scripted([Step::Read, Step::Stall]).await;
    let gate = Tollgate::start(open_with(&app, json!({ "timeouts": { "response": "200ms" } }))).await;
    for protocol in Protocol::BOTH {
        let answer = gate.client(protocol).post("/").body("x").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (504, &json!("gateway_timeout")));
    }
    let line = gate.log_line("the failure", |line| line["status"] == 504).await;
    assert_eq!(line["reason"], "upstream_timeout");
    app.connections_closed(2).await;
    let failures = gate.metrics().await;
    assert_eq!(failures.sum("tollgate_upstream_failures_total", &[("reason", "upstream_timeout")]), 2.0);
}

#[tokio::test]
async fn an_upload_that_moves_is_not_cut_by_the_response_timeout() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open_with(&app, json!({ "timeouts": { "response": "400ms" } }))).await;
    let (pieces, body) = mpsc::channel(1);
    let asking = gate.client(Protocol::Http1).post("/").pieces(body).spawn();
    // The only clock here: four pieces, each well within the timeout, all of them together beyond it.
    for _ in 0..4 {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        pieces.send("x".into()).await.unwrap();
    }
    drop(pieces);
    assert_eq!(within("an answer", asking).await.unwrap().json()["body"], "xxxx");
}

#[tokio::test]
async fn what_is_no_answer_of_http_is_502() {
    for garbage in [
        "no http at all\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/3.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
        "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
        "",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}",
    ] {
        let app = answering(garbage, Step::HalfClose).await;
        let gate = Tollgate::start(open(&app)).await;
        for protocol in Protocol::BOTH {
            let answer = gate.client(protocol).get("/").await;
            assert_eq!(answer.status, 502, "{garbage:?}: {answer:?}");
            assert_eq!(answer.json()["code"], "bad_gateway");
        }
        gate.log_line("the failure", |line| line["reason"] == "upstream_broken").await;
    }
}

#[tokio::test]
async fn an_answer_with_two_framings_reaches_the_client_whole_or_not_at_all() {
    for head in
        ["Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3"]
    {
        let app =
            answering(&format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n"), Step::Stall)
                .await;
        let gate = Tollgate::start(open(&app)).await;
        for protocol in Protocol::BOTH {
            let answer = gate.client(protocol).get("/").await;
            assert!(answer.status == 502 || answer.text() == "abcdef", "{protocol:?}: {answer:?}");
        }
        let mut raw = gate.raw().await;
        raw.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
        let answer = raw.answer().await.unwrap();
        assert!(answer.status() == 502 || answer.body == b"abcdef", "{}", answer.text());
        assert_eq!(raw.rest().await, b"");
    }
}

#[tokio::test]
async fn a_change_of_protocol_that_nobody_asked_for_is_502() {
    let app = answering(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nx",
        Step::Stall,
    )
    .await;
    let gate = Tollgate::start(open(&app).set("server.workers", json!(1))).await;
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut raw = gate.raw().await;
    assert_eq!(ask(&mut raw, request).await.status(), 502);
    for protocol in Protocol::BOTH {
        let answer = gate.client(protocol).get("/").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (502, &json!("bad_gateway")));
    }
    assert_eq!(app.connections_seen(), 3, "none of these connections serves a second request");
    gate.log_line("the failure", |line| line["reason"] == "upstream_broken").await;
    let failures = gate.metrics().await;
    assert_eq!(failures.sum("tollgate_upstream_failures_total", &[("reason", "upstream_broken")]), 3.0);
}

#[tokio::test]
async fn interim_answers_of_the_upstream_are_passed_over() {
    let app = answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
         HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        Step::Stall,
    )
    .await;
    let gate = Tollgate::start(open(&app)).await;
    for protocol in Protocol::BOTH {
        assert_eq!(gate.client(protocol).get("/").await.text(), "ok");
    }
}

#[tokio::test]
async fn answers_without_a_body_have_none_and_their_connections_go_on() {
    let app = Upstream::start(|request| match request.target() {
        "/204" => Reply::new(204, ""),
        "/304" => Reply::new(304, "").field("ETag", "\"x\""),
        _ => Reply::new(200, "four"),
    })
    .await;
    let gate = Tollgate::start(open(&app).set("server.workers", json!(1))).await;
    for protocol in Protocol::BOTH {
        let connection = gate.client(protocol).connect().await;
        let head = connection.request(Method::HEAD, "/").await;
        assert_eq!(
            (head.status.as_u16(), head.header("content-length"), head.text().as_str()),
            (200, Some("4"), "")
        );
        let not_modified = connection.get("/304").await;
        assert_eq!((not_modified.status.as_u16(), not_modified.header("etag")), (304, Some("\"x\"")));
        assert_eq!(connection.get("/204").await.status, 204);
        assert_eq!(connection.get("/").await.text(), "four");
        let missing = connection.request(Method::HEAD, "/%00").await;
        assert_eq!((missing.status.as_u16(), missing.text().as_str()), (400, ""));
        assert_eq!(connection.get("/").await.text(), "four");
    }
    let mut raw = gate.raw().await;
    raw.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let head = raw.answer_to_head().await.unwrap();
    assert_eq!((head.header("content-length"), head.header("transfer-encoding")), (Some("4"), None));
    raw.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(raw.answer().await.unwrap().body, b"four");
    assert_eq!(app.connections_seen(), 1);
}

#[tokio::test]
async fn an_answer_may_end_with_its_connection() {
    let app = answering("HTTP/1.1 200 OK\r\n\r\nuntil the end", Step::HalfClose).await;
    let gate = Tollgate::start(open(&app)).await;
    for protocol in Protocol::BOTH {
        assert_eq!(gate.client(protocol).get("/").await.text(), "until the end");
    }
    let old = answering("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Step::Stall).await;
    let gate = Tollgate::start(open(&old)).await;
    for protocol in Protocol::BOTH {
        assert_eq!(gate.client(protocol).get("/").await.text(), "ok");
    }
}

#[tokio::test]
async fn an_answer_may_have_many_fields_and_a_large_head() {
    let fields: String = (0..90).map(|number| format!("X-{number}: {}\r\n", "v".repeat(1000))).collect();
    let app =
        answering(&format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok"), Step::Stall).await;
    let gate = Tollgate::start(open(&app)).await;
    let answer = gate.get("/").await;
    assert_eq!((answer.text().as_str(), answer.header("x-89").map(str::len)), ("ok", Some(1000)));
}

#[tokio::test]
async fn an_answer_before_the_upload_has_ended_is_passed_on() {
    let app = Upstream::scripted([
        Step::ReadUntil(b"first".to_vec()),
        Step::send("HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"),
        Step::HalfClose,
    ])
    .await;
    let gate = Tollgate::start(open(&app)).await;
    for protocol in Protocol::BOTH {
        let (pieces, body) = mpsc::channel(1);
        pieces.send(Bytes::from_static(b"first")).await.unwrap();
        let answer = gate.client(protocol).post("/").pieces(body).head().await;
        assert_eq!(answer.status, 403, "{protocol:?}");
        assert_eq!(answer.rest().await.unwrap(), "no", "{protocol:?}");
        drop(pieces);
    }
}

#[tokio::test]
async fn a_body_of_any_method_is_forwarded_and_a_request_without_one_has_none() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    for protocol in Protocol::BOTH {
        for method in ["GET", "DELETE", "OPTIONS", "PATCH", "PUT", "PROPFIND"] {
            let method: Method = method.parse().unwrap();
            let answer = gate.client(protocol).request(method.clone(), "/").body("hi").await.json();
            assert_eq!((&answer["method"], &answer["body"]), (&json!(method.as_str()), &json!("hi")));
        }
        let answer = gate.client(protocol).get("/").await.json();
        assert_eq!(got(&answer, "content-length").len() + got(&answer, "transfer-encoding").len(), 0);
        let answer = gate.client(protocol).post("/").await.json();
        assert_eq!(got(&answer, "content-length"), ["0"]);
    }
}
