//! Requests that no honest client sends.

use http::Method;
use serde_json::json;

use crate::support::{Answer, Home, Protocol};
use crate::{PASSWORD, Site, USER, assert_refused, credentials, login, refresh};

const ENDPOINTS: [&str; 6] = [
    "/api/token/",
    "/api/token/refresh/",
    "/api/token/verify/",
    "/api/token/blacklist/",
    "/api/token/logout/",
    "/api/token/logout/all/",
];
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// A body, its media type, and the status that it gets at every endpoint.
type Case<'c> = (&'c [u8], &'c str, u16);

#[tokio::test]
async fn a_body_that_makes_no_sense_gets_a_clear_answer() {
    let deep = "[".repeat(60_000);
    let deep_field = format!("{{\"username\":{}", "{\"a\":".repeat(10_000));
    let many = format!("{{{}\"z\":1}}", "\"a\":1,".repeat(9_000));
    let digits = format!("{{\"username\":{},\"password\":1}}", "9".repeat(50_000));
    let cases: [Case<'_>; 26] = [
        (b"", JSON, 400),
        (b"{", JSON, 400),
        (b"{\"username\":\"ada\",\"password\":\"", JSON, 400),
        (b"nonsense", JSON, 400),
        (b"null", JSON, 400),
        (b"[]", JSON, 400),
        (b"1e999", JSON, 400),
        (b"{\"username\":{},\"password\":[],\"refresh\":true,\"token\":null}", JSON, 400),
        (b"\xff\xfe\xfd", JSON, 400),
        (
            b"{\"username\":\"\xff\",\"password\":\"\xc3\x28\",\"refresh\":\"\x80\",\"token\":\"\x80\"}",
            JSON,
            400,
        ),
        (b"\xef\xbb\xbf{}", JSON, 400),
        (br#"{"username":"a\u0000da","password":"\u0000","refresh":"\u0000a","token":"a\u0000"}"#, JSON, 400),
        (b"{\"username\":\"a\0da\"}", JSON, 400),
        (br#"{"username":"\ud800","password":"\udfff","refresh":"\ud800","token":"\ud800"}"#, JSON, 400),
        (deep.as_bytes(), JSON, 400),
        (deep_field.as_bytes(), JSON, 400),
        (many.as_bytes(), JSON, 400),
        (digits.as_bytes(), JSON, 400),
        (b"username=ada&password=%00&refresh=%00&token=%00", FORM, 400),
        (b"username=%ff%&refresh&token=", FORM, 400),
        (b"&&&=&=;", FORM, 400),
        (b"--B\r\n\r\n", "multipart/form-data; boundary=B", 400),
        (b"--B\r\n", "multipart/form-data", 400),
        (b"<username>ada</username>", "application/xml", 415),
        (b"{}", "\"", 415),
        (b"{}", "application/json+x; charset=\"", 415),
    ];
    let site = Site::start().await;
    let connection = site.connect().await;
    for path in ENDPOINTS {
        for (body, media_type, status) in cases {
            let answer = connection.post(path).header("Content-Type", media_type).body(body.to_vec()).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            assert_eq!(answer.status, status, "{path} {media_type} {shown:?}: {}", answer.text());
            assert_explains_itself(&answer, &shown);
        }
    }
    login(&connection).await;
}

/// Of two fields of one name the last counts, as in Python: never both, and never a crash.
#[tokio::test]
async fn of_two_fields_of_one_name_the_last_counts() {
    let site = Site::start().await;
    let connection = site.connect().await;
    let bodies = |first: &str, second: &str| {
        [
            (JSON, format!(r#"{{"username":"{USER}","password":"{first}","password":"{second}"}}"#)),
            (FORM, format!("username={USER}&password={first}&password={second}")),
        ]
    };
    for (first, second, status) in [(PASSWORD, "wrong", 401), ("wrong", PASSWORD, 200)] {
        for (media_type, body) in bodies(first, second) {
            let answer = connection.post("/api/token/").header("Content-Type", media_type).body(body).await;
            assert_eq!(answer.status, status, "{media_type}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_body_over_64_kib_is_refused_however_it_comes() {
    let site = Site::start().await;
    let fill = |length: usize| {
        let rest = json!({ "username": USER, "password": "x", "fill": "" }).to_string().len();
        json!({ "username": USER, "password": "x", "fill": "y".repeat(length - rest) }).to_string()
    };
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let post = site.gate.client(protocol).post("/api/token/").header("Content-Type", JSON);
        assert_eq!(post.body(fill(64 * 1024)).await.status, 401, "the largest one is read");
    }
    let post = site.gate.client(Protocol::Http2).post("/api/token/").header("Content-Type", JSON);
    assert_refused(&post.body(fill(64 * 1024 + 1)).await, 413, "body_too_large");
    // Refused by its announcement, before any of it has come.
    let mut raw = site.gate.raw().await;
    raw.send("POST /api/token/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65537\r\n\r\n").await;
    let answer = raw.answer().await.unwrap();
    assert_eq!((answer.status(), &answer.json()["code"]), (413, &json!("body_too_large")));
    let mut raw = site.gate.raw().await;
    raw.send("POST /api/token/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n").await;
    raw.send("Transfer-Encoding: chunked\r\n\r\n").await;
    for _ in 0..65 {
        raw.send(format!("400\r\n{}\r\n", "y".repeat(1024))).await;
    }
    let answer = raw.answer().await.unwrap();
    assert_eq!((answer.status(), &answer.json()["code"]), (413, &json!("body_too_large")));
    site.gate.log_line("the refusal", |line| line["reason"] == "body_too_large").await;
}

#[tokio::test]
async fn only_post_and_options_mean_anything() {
    let site = Site::start().await;
    let connection = site.connect().await;
    for path in ENDPOINTS {
        for method in ["GET", "PUT", "PATCH", "DELETE", "PROPFIND"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = connection.request(method, path).json(credentials(USER, PASSWORD)).await;
            assert_eq!(answer.status, 405);
            assert_eq!(answer.header("allow"), Some("POST, OPTIONS"));
        }
        assert_eq!(connection.request(Method::OPTIONS, path).await.status, 200);
    }
    for method in [Method::POST, Method::DELETE] {
        let answer = connection.request(method, "/.well-known/jwks.json").await;
        assert_refused(&answer, 405, "method_not_allowed");
    }
    assert_eq!(site.app.requests_seen(), 0, "no route behind an endpoint sees its requests");
}

#[tokio::test]
async fn passwords_and_tokens_are_never_printed() {
    let site = Site::start_with(|file| file.env("TOLLGATE_LOG", "debug"), Home::generate_key).await;
    let connection = site.connect().await;
    let wrong = "Zr8-a-wrong-password-that-nothing-prints";
    let tokens = login(&connection).await;
    for body in [
        credentials(USER, wrong),
        credentials(wrong, wrong),
        json!({ "username": [wrong], "password": { wrong: wrong } }),
    ] {
        connection.post("/api/token/").json(body).await;
    }
    connection.post("/api/token/").header("Content-Type", JSON).body(format!("{{\"{wrong}")).await;
    connection.post("/api/token/").header("Content-Type", FORM).body(format!("password={wrong}")).await;
    connection.get(&format!("/api/token/?password={wrong}&token={}", tokens.refresh)).await;
    connection.get(&format!("/elsewhere?password={wrong}&token={}", tokens.access)).await;
    refresh(&connection, &format!("{}x", tokens.refresh)).await;
    // HTTP/2's own library speaks at this level too.
    site.gate.client(Protocol::Http2).get("/").bearer(&tokens.access).await;
    connection.get("/").bearer(&format!("{}x", tokens.access)).await;
    site.gate.log_line("the last request", |line| line["path"] == "/" && line["status"] == 401).await;
    for line in site.gate.lines() {
        assert!(!line.contains(wrong), "{line}");
        for token in [&tokens.access, &tokens.refresh] {
            let signature = token.rsplit('.').next().unwrap();
            assert!(!line.contains(signature), "{line}");
        }
    }
}

/// JSON with a `detail`, or with complaints about fields.
fn assert_explains_itself(answer: &Answer, shown: &str) {
    assert_eq!(answer.header("content-type"), Some("application/json"), "{shown}");
    let body = answer.json();
    let members = body.as_object().unwrap();
    let explained = members.values().all(|value| value.is_string() || value[0].is_string());
    assert!(explained && !members.is_empty(), "{shown}: {body}");
}
