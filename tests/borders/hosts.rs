//! Which host a request is for.

use super::*;

#[tokio::test]
async fn a_host_that_is_missing_doubled_or_malformed_is_400() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    let heads = [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nhOST: other\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost, other\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost:99999\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost/admin\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\u{fc}\r\n\r\n",
    ];
    for head in heads {
        let answer = answer_to(&gate, head).await.unwrap_or_else(|| panic!("no answer to {head:?}"));
        assert_refused(&answer, 400, "invalid_request");
    }
    let line = gate.log_line("the refusal", |line| line["reason"] == "bad_host").await;
    assert_eq!(line["status"], 400);
    let refused = gate.metrics().await.sum("tollgate_refusals_total", &[("reason", "bad_host")]);
    assert_eq!(refused, 12.0);
    assert_eq!(settle(&gate, &app).await.len(), 0);
}

#[tokio::test]
async fn an_absolute_target_that_differs_from_host_is_400() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    for (target, host) in [
        ("http://evil.example/", "localhost"),
        ("http://localhost:81/", "localhost"),
        ("http://localhost@evil.example/", "localhost"),
        ("http://user@localhost/", "localhost"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_refused(&answer_to(&gate, request).await.unwrap(), 400, "invalid_request");
    }
    assert_eq!(settle(&gate, &app).await.len(), 0);
}

#[tokio::test]
async fn an_absolute_target_that_agrees_with_host_is_forwarded_in_origin_form() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    for (target, forwarded) in [
        ("http://LocalHost/a?b=c", "/a?b=c"),
        ("http://localhost", "/"),
        ("http://localhost?q", "/?q"),
        ("http://localhost/x/%2e%2e/y?z=%2e%2e", "/y?z=%2e%2e"),
    ] {
        let answer = ask_for(&gate, target).await;
        assert_eq!(answer.status(), 200, "{target}: {}", answer.text());
        assert_eq!(answer.json()["target"], forwarded, "{target}");
    }
    assert!(app.requests().iter().all(|request| request.header("host") == Some("localhost")));
}

#[tokio::test]
async fn an_authority_of_http_2_that_differs_from_host_is_400() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    let client = gate.client(Protocol::Http2);
    let answer = client.get("/").authority("localhost").host("evil.example").await;
    assert_refusal(&answer, 400, "invalid_request");
    let answer = client.get("/").authority("localhost:444").host("localhost").await;
    assert_refusal(&answer, 400, "invalid_request");
    assert_eq!(settle(&gate, &app).await.len(), 0);
    let answer = client.get("/").authority("localhost").host("localhost").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn connect_and_trace_are_refused() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    for head in [
        "TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n",
    ] {
        let answer = answer_to(&gate, head).await.unwrap();
        assert_refused(&answer, 405, "method_not_allowed");
        let allow = answer.header("allow").expect("a list of methods");
        assert!(allow.contains("GET") && !allow.contains("TRACE") && !allow.contains("CONNECT"), "{allow}");
    }
    let answer = gate.client(Protocol::Http2).request(Method::TRACE, "/").await;
    assert_refusal(&answer, 405, "method_not_allowed");
    assert_eq!(settle(&gate, &app).await.len(), 0);
}
