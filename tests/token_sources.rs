//! Where a request may carry its token, and that nothing of it goes further than it should.

mod support;

use serde_json::{Value, json};
use support::{Answer, Client, Config, Idp, Message, Protocol, Tollgate, Upstream, claims, config};
use tollgate::base::Algorithm;

/// All that a request says beside its method.
#[derive(Debug, Clone, Default)]
struct Sent {
    query: &'static str,
    fields: Vec<(&'static str, &'static str)>,
}

/// A request with `TOKEN` for the token.
fn sent(query: &'static str, fields: &[(&'static str, &'static str)]) -> Sent {
    Sent { query, fields: fields.to_vec() }
}

async fn send(client: &Client, path: &str, sent: &Sent, token: &str) -> Answer {
    let mut request = client.get(&format!("{path}{}", sent.query.replace("TOKEN", token)));
    for (name, value) in &sent.fields {
        request = request.header(name, &value.replace("TOKEN", token));
    }
    request.await
}

/// One way to carry a token: the place in the file, what a client sends, and what the upstream then gets of it with
/// `token: remove`, and with `token: forward`.
struct Place {
    name: &'static str,
    token_from: Value,
    sent: Sent,
    removed: Sent,
    forwarded: Sent,
}

fn places() -> Vec<Place> {
    let place = |name, token_from, sent, removed, forwarded: Option<Sent>| Place {
        name,
        token_from,
        forwarded: forwarded.unwrap_or_else(|| Sent::clone(&sent)),
        sent,
        removed,
    };
    vec![
        place(
            "scheme",
            json!({ "header": "Authorization", "scheme": ["JWT", "Bearer"] }),
            sent("?a=b", &[("authorization", "jwt TOKEN")]),
            sent("?a=b", &[]),
            None,
        ),
        place(
            "header",
            json!({ "header": "X-Api-Token" }),
            sent("", &[("x-api-token", "TOKEN"), ("authorization", "Basic dXM6cHc=")]),
            sent("", &[]),
            None,
        ),
        place(
            "cookie",
            json!({ "cookie": "access" }),
            sent("", &[("cookie", "theme=\"dark one\";access=TOKEN; csrf=a=b; ;x")]),
            sent("", &[("cookie", "theme=\"dark one\"; csrf=a=b; ;x")]),
            None,
        ),
        place(
            "only-cookie",
            json!({ "cookie": "access" }),
            sent("", &[("cookie", "access=\"TOKEN\"")]),
            sent("", &[]),
            None,
        ),
        place(
            "query",
            json!({ "query": "access_token" }),
            sent("?a=%41&access_token=TOKEN&&b=+", &[("cookie", "a=b")]),
            sent("?a=%41&&b=+", &[("cookie", "a=b")]),
            Some(sent("?a=%41&&b=+", &[("cookie", "a=b")])),
        ),
        place(
            "only-query",
            json!({ "query": "t" }),
            sent("?%74=TOKEN", &[]),
            sent("", &[]),
            Some(sent("", &[])),
        ),
        place(
            "protocol",
            json!({ "websocket_protocol": "bearer" }),
            sent("", &[("sec-websocket-protocol", "chat.v2,bearer, TOKEN, chat")]),
            sent("", &[("sec-websocket-protocol", "chat.v2,bearer, chat")]),
            None,
        ),
        place(
            "protocol-jwt",
            json!({ "websocket_protocol": true }),
            sent("", &[("sec-websocket-protocol", "TOKEN, chat.v2")]),
            sent("", &[("sec-websocket-protocol", "chat.v2")]),
            None,
        ),
    ]
}

fn route(name: &str, token_from: &Value, forwarding: &str, app: &Upstream) -> Value {
    json!({
        "name": name,
        "match": { "path": format!("/{name}") },
        "auth": { "providers": ["idp"], "token_from": token_from },
        "identity": { "headers": { "X-User-Id": "sub" }, "token": forwarding },
        "upstream": app.url(),
    })
}

/// A route for each place with either way of forwarding, and `/all` for all places that do not exclude one another.
fn file(idp: &Idp, app: &Upstream) -> Config {
    let mut file = config().provider("idp", idp);
    for place in places() {
        for forwarding in ["remove", "forward"] {
            file = file.push_route(route(
                &format!("{}-{forwarding}", place.name),
                &place.token_from,
                forwarding,
                app,
            ));
        }
    }
    let all: Vec<Value> = ["scheme", "header", "cookie", "query", "protocol"]
        .into_iter()
        .filter_map(|name| Some(places().into_iter().find(|place| place.name == name)?.token_from))
        .collect();
    file.push_route(route("all", &json!(all), "remove", app))
}

/// The fields that a token could be in.
const FIELDS: [&str; 4] = ["authorization", "x-api-token", "cookie", "sec-websocket-protocol"];

#[track_caller]
fn assert_got(request: &Message, path: &str, expected: &Sent, token: &str) {
    assert_eq!(request.target(), format!("{path}{}", expected.query.replace("TOKEN", token)));
    for name in FIELDS {
        let expected: Vec<String> = expected
            .fields
            .iter()
            .filter(|(field, _)| *field == name)
            .map(|(_, value)| value.replace("TOKEN", token))
            .collect();
        assert_eq!(request.headers(name).collect::<Vec<_>>(), expected, "{path}: {name}\n{}", request.text());
    }
    assert_eq!(request.header("x-user-id"), Some("ada"));
}

#[tokio::test]
async fn each_place_is_read_and_emptied_and_all_beside_it_stays() {
    let (idp, app) = (Idp::new(Algorithm::EdDSA), Upstream::echo().await);
    let gate = Tollgate::start(file(&idp, &app)).await;
    let token = idp.sign(claims("ada"));
    for protocol in Protocol::BOTH {
        let client = gate.client(protocol);
        for place in places() {
            for (forwarding, expected) in [("remove", &place.removed), ("forward", &place.forwarded)] {
                let path = format!("/{}-{forwarding}", place.name);
                app.forget();
                // The second time the token is in the cache.
                for _ in 0..2 {
                    let answer = send(&client, &path, &place.sent, &token).await;
                    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
                }
                for request in app.requests() {
                    assert_got(&request, &path, expected, &token);
                    let holds = request.text().contains(token.as_str());
                    assert!(forwarding == "forward" || !holds, "{}", request.text());
                }
                app.forget();
                let answer = send(&client, &path, &Sent::default(), &token).await;
                assert_eq!(
                    (answer.status.as_u16(), &answer.json()["code"]),
                    (401, &json!("not_authenticated")),
                    "{path}"
                );
                let answer = send(&client, &path, &place.sent, "eyJ.bad.one").await;
                assert_eq!(
                    (answer.status.as_u16(), &answer.json()["code"]),
                    (401, &json!("invalid_token")),
                    "{path}"
                );
                assert_eq!(app.requests_seen(), 0);
            }
        }
    }
    // Whatever the place was, and whether the request passed: nothing of a token is in the log, nor any query.
    for line in gate.lines() {
        assert!(!line.contains(token.as_str()) && !line.contains("eyJ.bad.one"), "{line}");
        assert!(!line.contains("access_token") && !line.contains('?'), "{line}");
    }
}

#[tokio::test]
async fn more_than_one_token_over_all_places_is_400() {
    let (idp, app) = (Idp::new(Algorithm::EdDSA), Upstream::echo().await);
    let gate = Tollgate::start(file(&idp, &app)).await;
    let token = idp.sign(claims("ada"));
    let (bearer, header) = (("authorization", "Bearer TOKEN"), ("x-api-token", "TOKEN"));
    let (cookie, protocol) = (("cookie", "access=TOKEN"), ("sec-websocket-protocol", "bearer, TOKEN"));
    let query = "?access_token=TOKEN";
    let alone = [
        sent(query, &[]),
        sent("", &[bearer]),
        sent("", &[header]),
        sent("", &[cookie]),
        sent("", &[protocol]),
    ];
    let several = [
        sent(query, &[bearer]),
        sent(query, &[cookie]),
        sent(query, &[header]),
        sent(query, &[protocol]),
        sent("", &[bearer, header]),
        sent("", &[bearer, cookie]),
        sent("", &[header, cookie]),
        sent("", &[cookie, protocol]),
        sent("", &[bearer, bearer]),
        sent("", &[header, header]),
        sent("", &[cookie, cookie]),
        sent("", &[("cookie", "access=TOKEN; access=TOKEN")]),
        sent("", &[("cookie", "access=TOKEN; a=b;access=other")]),
        sent("", &[protocol, protocol]),
        sent("?access_token=TOKEN&access%5ftoken=TOKEN", &[]),
        sent("", &[("authorization", "Bearer other"), cookie]),
    ];
    for protocol in Protocol::BOTH {
        let client = gate.client(protocol);
        for request in &alone {
            let answer = send(&client, "/all", request, &token).await;
            assert_eq!(answer.status, 200, "{request:?}: {}", answer.text());
        }
        app.forget();
        for request in &several {
            let answer = send(&client, "/all", request, &token).await;
            assert_eq!(answer.status, 400, "{request:?}: {}", answer.text());
            assert_eq!(answer.json()["code"], "invalid_request");
            assert_eq!(
                answer.header("www-authenticate"),
                Some(r#"JWT realm="api", error="invalid_request""#)
            );
        }
        assert_eq!(app.requests_seen(), 0);
    }
    let line = gate.log_line("a refusal", |line| line["status"] == 400).await;
    assert_eq!(line["reason"], "malformed_credentials");
}

#[tokio::test]
async fn a_place_that_the_route_does_not_name_is_none() {
    let (idp, app) = (Idp::new(Algorithm::EdDSA), Upstream::echo().await);
    let gate = Tollgate::start(file(&idp, &app).route("/usual", "idp", &app)).await;
    let token = idp.sign(claims("ada"));
    for protocol in Protocol::BOTH {
        let client = gate.client(protocol);
        for place in places().iter().filter(|place| place.name != "scheme") {
            let answer = send(&client, "/usual", &place.sent, &token).await;
            assert_eq!(answer.status, 401, "{}", place.name);
            assert_eq!(answer.json()["code"], "not_authenticated");
        }
        let answer = client.get("/cookie-remove").bearer(&token).await;
        assert_eq!(answer.status, 401);
    }
    assert_eq!(app.requests_seen(), 0);
}

#[tokio::test]
async fn the_challenge_names_the_scheme_of_the_first_header() {
    let (idp, app) = (Idp::new(Algorithm::EdDSA), Upstream::echo().await);
    let gate = Tollgate::start(file(&idp, &app).route("/usual", "idp", &app)).await;
    for protocol in Protocol::BOTH {
        for (path, scheme) in
            [("/usual", "Bearer"), ("/scheme-remove", "JWT"), ("/cookie-remove", "Bearer"), ("/all", "JWT")]
        {
            let answer = gate.client(protocol).get(path).await;
            assert_eq!(
                answer.header("www-authenticate"),
                Some(&*format!(r#"{scheme} realm="api""#)),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn without_a_token_an_optional_route_still_takes_out_what_stands_in_its_places() {
    let (idp, app) = (Idp::new(Algorithm::EdDSA), Upstream::echo().await);
    let mut optional = route(
        "all",
        &json!([{ "header": "X-Api-Token", "scheme": "JWT" }, { "cookie": "access" }, { "query": "t" }]),
        "remove",
        &app,
    );
    optional["auth"]["mode"] = json!("optional");
    let gate = Tollgate::start(config().provider("idp", &idp).push_route(optional)).await;
    let nobody = sent(
        "?t=&a",
        &[("x-api-token", "other thing"), ("x_api_token", "forged"), ("cookie", "access=; a=b")],
    );
    for protocol in Protocol::BOTH {
        app.forget();
        assert_eq!(send(&gate.client(protocol), "/all", &nobody, "").await.status, 200);
        let request = app.only_request();
        assert_eq!((request.target(), request.header("cookie")), ("/all?a", Some("a=b")));
        assert!(
            !request.text().contains("other thing") && !request.text().contains("forged"),
            "{}",
            request.text()
        );
    }
}

#[tokio::test]
async fn crumbs_of_http_2_are_one_field_without_the_token() {
    let (idp, app) = (Idp::new(Algorithm::EdDSA), Upstream::echo().await);
    let gate = Tollgate::start(file(&idp, &app)).await;
    let token = idp.sign(claims("ada"));
    let crumbs = sent("", &[("cookie", "a=b"), ("cookie", "access=TOKEN"), ("cookie", "c=d")]);
    assert_eq!(send(&gate.client(Protocol::Http2), "/cookie-remove", &crumbs, &token).await.status, 200);
    assert_eq!(app.only_request().header("cookie"), Some("a=b; c=d"));
}
