//! Where a request ends: lengths, chunks, line ends.

use super::*;

/// A request that must never be understood as one.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn post(fields: &str, body: &str) -> String {
    format!("POST /first HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n{body}")
}

/// All answers to these bytes, up to the gateway's closing.
async fn answers_to(gate: &Tollgate, bytes: &[u8]) -> Vec<Message> {
    let mut raw = gate.raw().await;
    raw.send(bytes).await;
    let mut answers = Vec::new();
    while let Some(answer) = raw.answer().await {
        answers.push(answer);
    }
    answers
}

#[tokio::test]
async fn a_head_with_two_readings_is_400_and_nothing_is_forwarded() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    let whole = |fields: &str| format!("GET /first HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n");
    for (what, bytes) in [
        ("two lengths that differ", post("Content-Length: 5\r\nContent-Length: 6", "hello")),
        ("a list of lengths that differ", post("Content-Length: 5, 6", "hello")),
        ("a length with a sign", post("Content-Length: +5", "hello")),
        ("a negative length", post("Content-Length: -5", "hello")),
        ("a hexadecimal length", post("Content-Length: 0x5", "hello")),
        ("a length beyond all numbers", post("Content-Length: 99999999999999999999999", "hello")),
        ("a length that is no number", post("Content-Length: five", "hello")),
        ("an empty length", post("Content-Length:", "hello")),
        ("an unknown coding", post("Transfer-Encoding: gzip", "hello")),
        ("chunked is not the last coding", post("Transfer-Encoding: chunked, identity", "0\r\n\r\n")),
        ("a coding like chunked", post("Transfer-Encoding: xchunked", "0\r\n\r\n")),
        ("space before the colon", post("Transfer-Encoding : chunked", "0\r\n\r\n")),
        ("space before the colon of a length", post("Content-Length : 5", "hello")),
        ("a folded line", whole("X-A: b\r\n c")),
        ("a folded first line", "GET /first HTTP/1.1\r\n Host: localhost\r\n\r\n".to_owned()),
        ("a NUL in a value", whole("X-A: b\0c")),
        ("a bare CR in a value", whole("X-A: b\rX-B: c")),
        ("a NUL in a name", whole("X\0A: b")),
        ("a space in a name", whole("X A: b")),
        ("no colon", whole("X-A")),
        ("no name", whole(": b")),
        ("a version of the future", "GET /first HTTP/1.2\r\nHost: localhost\r\n\r\n".to_owned()),
        ("a version of the past", "GET /first HTTP/0.9\r\nHost: localhost\r\n\r\n".to_owned()),
        ("no version", "GET /first\r\nHost: localhost\r\n\r\n".to_owned()),
        ("two spaces", "GET  /first HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()),
        ("a space in the target", "GET /first /second HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()),
        ("a tab in the target", "GET /first\t HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()),
        (
            "chunked under HTTP/1.0",
            "POST /first HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_owned(),
        ),
    ] {
        let answers = answers_to(&gate, format!("{bytes}{SMUGGLED}").as_bytes()).await;
        assert_eq!(answers.len(), 1, "{what}: {answers:#?}");
        assert!(matches!(answers[0].status(), 400 | 505), "{what}: {}", answers[0].text());
    }
    assert_eq!(settle(&gate, &app).await.len(), 0);
}

#[tokio::test]
async fn a_head_that_is_repaired_leaves_as_one_request_of_one_framing() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    let hidden = format!("0\r\n\r\n{SMUGGLED}");
    let covers = format!("Content-Length: {}\r\nTransfer-Encoding: chunked", hidden.len());
    for (what, bytes, body) in [
        ("a length that covers more than the chunks", post(&covers, &hidden), ""),
        (
            "a length that covers less than the chunks",
            post("Content-Length: 4\r\nTransfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
            "hello",
        ),
        (
            "chunks before the length",
            post("Transfer-Encoding: chunked\r\nContent-Length: 3", "5\r\nhello\r\n0\r\n\r\n"),
            "hello",
        ),
        ("two lengths that agree", post("Content-Length: 5\r\nContent-Length: 5", "hello"), "hello"),
        ("chunked in capitals", post("Transfer-Encoding: CHUNKED", "5\r\nhello\r\n0\r\n\r\n"), "hello"),
        ("bare LF ends lines", "GET /first HTTP/1.1\nHost: localhost\nX-A: b\n\n".to_owned(), ""),
        (
            "one bare LF among others",
            "POST /first HTTP/1.1\r\nHost: localhost\r\nX-A: b\nContent-Length: 5\r\n\r\nhello".to_owned(),
            "hello",
        ),
    ] {
        app.forget();
        // Where the next request would be one like any other, there is none.
        let close = if bytes.contains("Transfer-Encoding") && bytes.contains("Content-Length") {
            ""
        } else {
            SMUGGLED
        };
        let answers = answers_to(&gate, format!("{bytes}{close}").as_bytes()).await;
        let answers = &answers[..answers.len().min(if close.is_empty() { 9 } else { 1 })];
        assert!(answers.len() <= 1, "{what}: {answers:#?}");
        let mut seen = settle(&gate, &app).await;
        if !close.is_empty() {
            seen.retain(|request| request.target() != "/smuggled");
        }
        if answers.iter().any(|answer| answer.status() == 400) {
            assert!(seen.is_empty(), "{what}: {}", seen[0].text());
            continue;
        }
        assert_eq!(answers.len(), 1, "{what}");
        assert_eq!(seen.len(), 1, "{what}");
        let request = &seen[0];
        assert!(request.complete, "{what}");
        assert_eq!(request.target(), "/first", "{what}");
        assert_eq!(String::from_utf8_lossy(&request.body), body, "{what}");
        let framings =
            request.headers("content-length").count() + request.headers("transfer-encoding").count();
        assert!(framings <= 1, "{what}: {}", request.text());
        let head = request.text();
        let head = head.split("\r\n\r\n").next().unwrap();
        assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "{what}: {head:?}");
    }
}

#[tokio::test]
async fn chunks_are_framed_anew_or_refused() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    for (what, body) in [
        ("an extension", "5;a=b\r\nhello\r\n0;c\r\n\r\n"),
        ("an extension with a quoted line end", "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n"),
        ("an extension that ends in LF", "5;a\nhello\r\n0\r\n\r\n"),
        ("leading zeros", "0000005\r\nhello\r\n0\r\n\r\n"),
        ("a size that ends in LF", "5\nhello\r\n0\r\n\r\n"),
        ("data that end in LF", "5\r\nhello\n0\r\n\r\n"),
        ("a size with a sign", "+5\r\nhello\r\n0\r\n\r\n"),
        ("a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
        ("a size with a prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("a size with an underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
        ("a size with a space before", " 5\r\nhello\r\n0\r\n\r\n"),
        ("a size with a space after", "5 \r\nhello\r\n0\r\n\r\n"),
        ("a size with junk", "5g\r\nhello\r\n0\r\n\r\n"),
        ("no size", "\r\nhello\r\n0\r\n\r\n"),
        ("a size beyond 64 bits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("a size that is too small", "3\r\nhello\r\n0\r\n\r\n"),
        ("a size that is too large", "8\r\nhello\r\n0\r\n\r\n"),
        ("no end", "5\r\nhello\r\n"),
        ("trailers", "5\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n"),
        ("trailers that could be fields", "5\r\nhello\r\n0\r\nContent-Length: 99\r\nHost: evil\r\n\r\n"),
    ] {
        app.forget();
        let bytes = post("Transfer-Encoding: chunked", body);
        let answers = answers_to(&gate, format!("{bytes}{SMUGGLED}").as_bytes()).await;
        let seen = settle(&gate, &app).await;
        let good = answers.iter().filter(|answer| answer.status() == 200).count();
        // After a body that is in order the next request is a request like any other; after another one there
        // is no next request.
        let (first, next): (Vec<_>, Vec<_>) = seen.iter().partition(|request| request.target() == "/first");
        assert!(first.len() <= 1, "{what}: {seen:#?}");
        assert_eq!(next.len(), good.saturating_sub(1), "{what}: {seen:#?}\n{answers:#?}");
        for request in first {
            assert_eq!(request.complete, good >= 1, "{what}: {}", request.text());
            if request.complete {
                assert_eq!(String::from_utf8_lossy(&request.body), "hello", "{what}");
                assert_eq!(request.header("x-trailer"), None);
                assert!(!request.text().contains(";a"), "{what}: {}", request.text());
            }
        }
        if good == 0 {
            assert!(answers.len() <= 1, "{what}: {answers:#?}");
            assert!(answers.iter().all(|answer| answer.status() == 400), "{what}: {answers:#?}");
        }
    }
}

#[tokio::test]
async fn a_chunk_without_bounds_never_makes_a_whole_request() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    for size in ["FFFFFFFFFFFFFFFF", "7FFFFFFFFFFFFFFF", "FFFFFFFFFFFFFFFB"] {
        let mut raw = gate.raw().await;
        raw.send(post("Transfer-Encoding: chunked", &format!("{size}\r\nhello\r\n0\r\n\r\n{SMUGGLED}")))
            .await;
        raw.half_close().await;
        raw.rest().await;
    }
    assert!(
        settle(&gate, &app).await.iter().all(|request| request.target() == "/first" && !request.complete)
    );
}

#[tokio::test]
async fn a_length_of_http_2_that_its_data_belie_never_makes_a_whole_request() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    for length in ["3", "7"] {
        let (pieces, body) = mpsc::channel(1);
        pieces.send(Bytes::from_static(b"hello")).await.unwrap();
        drop(pieces);
        let request = gate.client(Protocol::Http2).post("/first").header("content-length", length);
        if let Ok(answer) = request.pieces(body).try_send().await {
            assert_refusal(&answer, 400, "invalid_request");
        }
    }
    assert!(settle(&gate, &app).await.iter().all(|request| !request.complete));
}

#[tokio::test]
async fn a_refused_request_leaves_nothing_of_its_body_behind() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(config().open_route("/open", &app).open_route("/smuggled", &app)).await;
    let length = SMUGGLED.len();
    for (what, head) in [
        ("no route", "POST /none HTTP/1.1\r\nHost: localhost\r\n"),
        ("a bad host", "POST /open HTTP/1.1\r\nHost: a b\r\n"),
        ("a bad path", "POST /%00 HTTP/1.1\r\nHost: localhost\r\n"),
        ("CONNECT", "CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n"),
        ("an upgrade", "GET /none HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: x\r\n"),
    ] {
        app.forget();
        let next = "GET /open HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let bytes = format!("{head}Content-Length: {length}\r\n\r\n{SMUGGLED}{next}");
        let answers = answers_to(&gate, bytes.as_bytes()).await;
        // Its connection may be closed, or go on after the body: the body itself is never a request.
        assert!((400..500).contains(&answers[0].status()), "{what}");
        assert_eq!(gate.get("/open").await.status, 200);
        let seen = app.requests();
        assert!(seen.iter().all(|request| request.target() == "/open"), "{what}: {seen:#?}");
        assert_eq!(seen.len(), answers.len(), "{what}: {answers:#?}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    let pipeline: String = (0..10)
        .map(|number| {
            format!("POST /{number} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n{number}")
        })
        .collect();
    let answers = answers_to(&gate, format!("{pipeline}{SMUGGLED}").as_bytes()).await;
    let seen: Vec<Value> = answers[..10].iter().map(|answer| answer.json()["body"].clone()).collect();
    assert_eq!(seen, (0..10).map(|number| json!(number.to_string())).collect::<Vec<_>>());
}
