//! What an upstream learns of a caller, and that nobody else can say it.

#![allow(clippy::unwrap_used, reason = "a helper's panic fails its test")]

mod support;

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};
use support::{
    Answer, Config, FORGED, Idp, Protocol, Reply, Tollgate, Upstream, claims, config, now, within,
};
use tollgate::base::Algorithm;

/// One route that needs a token, with this `identity`.
#[expect(clippy::needless_pass_by_value, reason = "tests write `json!` in place")]
fn telling(idp: &Idp, app: &Upstream, identity: Value) -> Config {
    config().provider("idp", idp).push_route(json!({
        "match": { "path": "/*" }, "auth": { "providers": ["idp"] }, "upstream": app.url(), "identity": identity,
    }))
}

/// The fields of one name, as an echoing upstream got them.
#[track_caller]
fn got(answer: &Answer, name: &str) -> Vec<String> {
    let body = answer.json();
    let fields = body["fields"].as_array().unwrap_or_else(|| panic!("refused: {answer:?}"));
    let same = fields.iter().filter(|field| field[0].as_str().unwrap().eq_ignore_ascii_case(name));
    same.map(|field| field[1].as_str().unwrap().to_owned()).collect()
}

fn none() -> Vec<String> {
    Vec::new()
}

mod headers {
    use super::*;

    #[tokio::test]
    async fn by_default_the_upstream_gets_user_name_and_configured_issuer_but_no_token() {
        let idp = Idp::new(Algorithm::EdDSA);
        let app = Upstream::echo().await;
        let gate = Tollgate::start(config().provider("idp", &idp).route("/*", "idp", &app)).await;
        for protocol in Protocol::BOTH {
            for (claims, id, name) in [
                (json!({ "sub": "7", "username": "ada" }), vec!["7"], vec!["ada"]),
                (json!({ "user_id": 7, "preferred_username": "ada" }), vec!["7"], vec!["ada"]),
                (
                    json!({ "sub": "1", "user_id": 2, "username": "a", "preferred_username": "b" }),
                    vec!["1"],
                    vec!["a"],
                ),
                (json!({ "sub": "7" }), vec!["7"], vec![]),
                (json!({}), vec![], vec![]),
            ] {
                let mut claims = claims;
                claims["exp"] = json!(now() + 300);
                let answer = gate.client(protocol).get("/").bearer(&idp.sign(claims)).await;
                assert_eq!(got(&answer, "x-user-id"), id);
                assert_eq!(got(&answer, "x-user-name"), name);
                assert_eq!(got(&answer, "x-auth-issuer"), ["https://id.example.test"]);
                assert_eq!(got(&answer, "authorization"), none());
            }
        }
    }

    #[tokio::test]
    async fn claims_become_headers_as_the_route_says() {
        let idp = Idp::new(Algorithm::EdDSA);
        let app = Upstream::echo().await;
        let gate = Tollgate::start(telling(
            &idp,
            &app,
            json!({ "headers": {
                "X-Claim": "value",
                "X-Nested": { "claim": "realm_access.roles", "optional": true },
                "X-Either": { "claim": ["first", "second"], "optional": true },
                "X-From": { "from": "issuer" },
            }}),
        ))
        .await;
        let shown = async |value: Value| {
            let token = idp.sign(json!({ "sub": "x", "exp": now() + 300, "value": value }));
            got(&gate.get("/").bearer(&token).await, "x-claim").concat()
        };
        assert_eq!(shown(json!("plain-text_1.2")).await, "plain-text_1.2");
        assert_eq!(shown(json!(false)).await, "false");
        assert_eq!(shown(json!(0)).await, "0");
        assert_eq!(shown(json!("")).await, "");
        assert_eq!(shown(json!(-1.5)).await, "-1.5");
        assert_eq!(shown(json!(9_007_199_254_740_993_u64)).await, "9007199254740993");
        assert_eq!(shown(json!("Zoë Ångström")).await, "Zo%C3%AB%20%C3%85ngstr%C3%B6m");
        assert_eq!(
            shown(json!("a\r\nX-User-Id: root\u{0}\t\u{7f}")).await,
            "a%0D%0AX-User-Id:%20root%00%09%7F"
        );
        assert_eq!(shown(json!("50%")).await, "50%25");
        assert_eq!(shown(json!(["admin", "a,b", 7, true])).await, "admin,a%2Cb,7,true");
        assert_eq!(shown(json!([])).await, "");
        assert_eq!(shown(json!({ "a": [1] })).await, r#"{"a":[1]}"#);
        assert_eq!(shown(json!("x".repeat(5000))).await, "x".repeat(5000), "never cut");

        let token = idp.sign(json!({
            "exp": now() + 300, "value": 1, "realm_access": { "roles": ["r1", "r2"] }, "second": "2", "sub": "hidden",
        }));
        let answer = gate.get("/").bearer(&token).await;
        assert_eq!(got(&answer, "x-nested"), ["r1,r2"]);
        assert_eq!(got(&answer, "x-either"), ["2"]);
        assert_eq!(got(&answer, "x-from"), ["https://id.example.test"]);
        assert_eq!(got(&answer, "x-user-id"), none(), "the default set is not added to the route's own");
    }

    #[tokio::test]
    async fn a_mapped_claim_that_is_absent_is_403_unless_it_is_optional() {
        let idp = Idp::new(Algorithm::EdDSA);
        let app = Upstream::echo().await;
        let headers = json!({ "headers": {
            "X-Tenant": "tenant", "X-Either": ["a", "b"], "X-Team": { "claim": "team", "optional": true },
        }});
        let gate = Tollgate::start(telling(&idp, &app, headers)).await;
        let status = async |changes: Value| {
            let mut claims = claims("ada");
            claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            let token = idp.sign(claims);
            // The second one finds the token in the cache.
            let connection = gate.client(Protocol::Http1).connect().await;
            let first = connection.get("/").bearer(&token).await;
            let second = connection.get("/").bearer(&token).await;
            assert_eq!(first.status, second.status);
            if first.status == 403 {
                assert_eq!(first.json()["code"], "insufficient_identity");
                assert_eq!(first.text(), second.text());
                assert!(!first.text().contains("tenant"), "the body names no claim: {}", first.text());
            }
            first.status.as_u16()
        };
        assert_eq!(status(json!({ "tenant": "t", "a": 1 })).await, 200);
        assert_eq!(status(json!({ "tenant": "t", "b": false })).await, 200);
        assert_eq!(status(json!({ "tenant": "t" })).await, 403);
        assert_eq!(status(json!({ "a": 1 })).await, 403);
        assert_eq!(status(json!({ "tenant": null, "a": 1 })).await, 403);
        let line = gate.log_line("the refusal", |line| line["status"] == 403).await;
        assert_eq!((&line["reason"], &line["subject"]), (&json!("missing_identity"), &json!("ada")));
        let refused = gate.metrics().await.sum("tollgate_refusals_total", &[("reason", "missing_identity")]);
        assert_eq!((refused, app.requests_seen()), (6.0, 4));
    }

    #[tokio::test]
    async fn the_token_is_forwarded_where_the_route_says_so() {
        let idp = Idp::new(Algorithm::EdDSA);
        let app = Upstream::echo().await;
        let token = idp.sign(claims("ada"));
        for (setting, expected) in [("forward", vec![format!("bEARER {token}")]), ("remove", none())] {
            let gate = Tollgate::start(telling(&idp, &app, json!({ "token": setting }))).await;
            for protocol in Protocol::BOTH {
                let request =
                    gate.client(protocol).get("/").header("authorization", &format!("bEARER {token}"));
                let answer = request.await;
                assert_eq!(got(&answer, "authorization"), expected, "{setting}");
                assert_eq!(got(&answer, "x-user-id"), ["ada"]);
            }
        }
    }

    #[tokio::test]
    async fn two_routes_tell_different_things_of_one_token() {
        let idp = Idp::new(Algorithm::EdDSA);
        let app = Upstream::echo().await;
        let route = |path: &str, claim: &str| {
            json!({
                "match": { "path": path }, "auth": { "providers": ["idp"] }, "upstream": app.url(),
                "identity": { "headers": { "X-User-Id": claim } },
            })
        };
        let gate = Tollgate::start(
            config()
                .provider("idp", &idp)
                .push_route(route("/a", "sub"))
                .push_route(route("/b", "preferred_username")),
        )
        .await;
        let mut claims = claims("ada");
        claims["sub"] = json!("7");
        let token = idp.sign(claims);
        let connection = gate.client(Protocol::Http2).connect().await;
        for _ in 0..3 {
            assert_eq!(got(&connection.get("/a").bearer(&token).await, "x-user-id"), ["7"]);
            assert_eq!(got(&connection.get("/b").bearer(&token).await, "x-user-id"), ["ada"]);
        }
    }
}

mod forgeries {
    use super::*;

    /// Spellings that CGI, WSGI or PHP would take for `X-User-Id`, or for another injected header.
    const SPELLINGS: [&str; 16] = [
        "X-User-Id",
        "x-user-id",
        "X_User_Id",
        "X_USER_ID",
        "X.User.Id",
        "x-user--id",
        "x-user_id",
        "-x-user-id-",
        "xuserid",
        "X~User!Id",
        "x'user`id",
        "x|user^id",
        "X_User_Name",
        "X.Auth.Issuer",
        "x-auth_issuer",
        "X#User$Name",
    ];

    #[tokio::test]
    async fn no_spelling_of_an_injected_header_passes_on_any_route_over_any_protocol() {
        let idp = Idp::new(Algorithm::EdDSA);
        let app = Upstream::echo().await;
        let gate = Tollgate::start(
            config().provider("idp", &idp).route("/own/*", "idp", &app).open_route("/public/*", &app),
        )
        .await;
        let token = idp.sign(json!({ "sub": "ada", "exp": now() + 300 }));
        for protocol in Protocol::BOTH {
            for spelling in SPELLINGS {
                for path in ["/own/", "/public/"] {
                    let request = gate.client(protocol).get(path).bearer(&token);
                    let answer = request.header(spelling, FORGED).header(spelling, FORGED).await;
                    assert_eq!(answer.status, 200, "{spelling}");
                    assert!(!answer.text().contains(FORGED), "{spelling} on {path}: {}", answer.text());
                    let own = path == "/own/";
                    assert_eq!(got(&answer, "x-user-id"), if own { vec!["ada"] } else { vec![] });
                    // Absent in the token: nobody else may say it either.
                    assert_eq!(got(&answer, "x-user-name"), none(), "{spelling}");
                }
            }
        }
    }

    #[tokio::test]
    async fn what_connection_names_is_removed_as_well_and_the_own_header_stays() {
        let idp = Idp::new(Algorithm::EdDSA);
        let app = Upstream::echo().await;
        let gate = Tollgate::start(config().provider("idp", &idp).route("/*", "idp", &app)).await;
        let token = idp.sign(claims("ada"));
        for named in ["X-User-Id", "x_user_id", "close, x-user-id, X-Auth-Issuer", "keep-alive, X-User-Name"]
        {
            let mut raw = gate.raw().await;
            raw.send(format!(
                "GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: {named}\r\n\
                 X-User-Id: {FORGED}\r\nX_User_Id: {FORGED}\r\n\r\n"
            ))
            .await;
            let answer = raw.answer().await.unwrap().json();
            let fields = answer["fields"].as_array().unwrap();
            for (name, value) in
                [("x-user-id", "ada"), ("x-user-name", "ada"), ("x-auth-issuer", "https://id.example.test")]
            {
                assert!(fields.contains(&json!([name, value])), "{named}: {name} is missing in {answer}");
            }
        }
    }

    #[tokio::test]
    async fn what_one_route_injects_is_removed_on_all_others() {
        let idp = Idp::new(Algorithm::EdDSA);
        let app = Upstream::echo().await;
        let gate = Tollgate::start(
            telling(&idp, &app, json!({ "headers": { "X-Auth-Tenant": "tenant" } }))
                .set("routes.0.match.path", json!("/tenants"))
                .route("/own", "idp", &app)
                .open_route("/public", &app),
        )
        .await;
        let token = idp.sign(claims("ada"));
        for path in ["/own", "/public"] {
            let request = gate.get(path).bearer(&token).header("x_auth_tenant", FORGED);
            let answer = request.header("x-other-tenant", "kept").await;
            assert_eq!(answer.status, 200);
            assert!(!answer.text().contains(FORGED), "{path}");
            assert_eq!(got(&answer, "x-other-tenant"), ["kept"]);
        }
    }

    #[tokio::test]
    async fn a_token_on_a_public_route_proves_nothing_and_is_not_looked_at() {
        let idp = Idp::new(Algorithm::EdDSA);
        let app = Upstream::echo().await;
        let gate = Tollgate::start(
            config().provider("idp", &idp).route("/own", "idp", &app).open_route("/public", &app),
        )
        .await;
        for authorization in
            [format!("Bearer {}", idp.sign(claims("ada"))), "Bearer garbage".into(), "Basic YTpi".into()]
        {
            let answer = gate.get("/public").header("authorization", &authorization).await;
            assert_eq!(answer.status, 200);
            assert_eq!(got(&answer, "x-user-id"), none());
            // It may be the application's own.
            assert_eq!(got(&answer, "authorization"), [authorization]);
        }
        let line = gate.log_line("the request", |line| line["path"] == "/public").await;
        assert_eq!(line.get("subject"), None);
        assert_eq!(gate.metrics().await.sum("tollgate_authentications_total", &[]), 0.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_requests_of_two_hundred_callers_each_get_their_own_identity() {
    const CALLERS: usize = 200;
    const CONNECTIONS: usize = 40;
    const REQUESTS: usize = 500;
    let idp = Idp::new(Algorithm::EdDSA);
    // Nothing but what the gateway said of the caller, and which request it was.
    let app = Upstream::start(|request| {
        let of = |name| request.headers(name).collect::<Vec<_>>().join("|");
        Reply::new(200, format!("{} {} {}", of("x-user-id"), of("x-user-name"), request.target()))
    })
    .await;
    let gate = Tollgate::start(config().provider("idp", &idp).route("/*", "idp", &app)).await;
    let callers: std::sync::Arc<Vec<(String, String)>> = std::sync::Arc::new(
        (0..CALLERS)
            .map(|number| {
                let (id, name) = (format!("id-{number}"), format!("name-{number}"));
                let token = idp.sign(json!({ "sub": id, "username": name, "exp": now() + 600 }));
                (format!("{id} {name}"), token)
            })
            .collect(),
    );
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CONNECTIONS {
        let callers = std::sync::Arc::clone(&callers);
        let client = gate.client(Protocol::BOTH[number % 2]);
        clients.spawn(async move {
            let connection = client.connect().await;
            let mut asking = std::collections::VecDeque::new();
            for request in 0..REQUESTS {
                // Neighbours on a connection are different callers, and no two connections go alike.
                let caller = (request * 7 + number * 31) % CALLERS;
                let path = format!("/{number}/{request}");
                let (identity, token) = &callers[caller];
                let answer = connection.get(&path).bearer(token).header("x-user-id", FORGED).spawn();
                asking.push_back((format!("{identity} {path}"), answer));
                // HTTP/2 has eight on their way at once.
                while asking.len() > 8 || (request + 1 == REQUESTS && !asking.is_empty()) {
                    let (expected, answer) = asking.pop_front().unwrap();
                    assert_eq!(answer.await.unwrap().text(), expected);
                }
            }
        });
    }
    while let Some(client) = within("a client's answers", clients.join_next()).await {
        client.unwrap();
    }
    assert_eq!(app.requests_seen(), CONNECTIONS * REQUESTS);
    assert!(app.connections_seen() < 1000, "connections to the upstream are shared");
    let metrics = gate.metrics().await;
    assert_eq!(metrics.sum("tollgate_requests_total", &[("status", "200")]), 20_000.0);
    assert_eq!(metrics.sum("tollgate_authentications_total", &[("outcome", "accepted")]), 20_000.0);
}

mod deny_by_default {
    use super::*;

    /// How a request without any rights ends at each place: of the data plane by route, of the gateway itself by path.
    /// A place that is not in this list fails the test below.
    const WITHOUT_RIGHTS: [(&str, u16); 6] = [
        // Open to all by the word `none`.
        ("open", 200),
        ("token-of-one", 401),
        ("token-of-any", 401),
        ("token-with-identity", 401),
        ("token-for-methods", 401),
        ("token-for-host", 401),
    ];

    /// The admin listener's places need no right, and change nothing.
    const ADMIN: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

    fn every_kind_of_route(idp: &Idp, other: &Idp, app: &Upstream) -> Config {
        let route = |name: &str, pattern: Value, auth: Value| json!({ "name": name, "match": pattern, "auth": auth, "upstream": app.url() });
        let mut with_identity = route(
            "token-with-identity",
            json!({ "path": "/token-with-identity" }),
            json!({ "providers": "idp" }),
        );
        with_identity["identity"] =
            json!({ "headers": { "X-User-Id": { "claim": "sub", "optional": true } }, "token": "forward" });
        config()
            .provider("idp", idp)
            .provider("other", other)
            .push_route(route("open", json!({ "path": "/open" }), json!("none")))
            .push_route(route(
                "token-of-one",
                json!({ "path": "/token-of-one/*" }),
                json!({ "providers": ["idp"] }),
            ))
            .push_route(route(
                "token-of-any",
                json!({ "path": "/token-of-any" }),
                json!({ "providers": ["idp", "other"] }),
            ))
            .push_route(with_identity)
            .push_route(route(
                "token-for-methods",
                json!({ "path": "/token-for-methods", "methods": ["GET", "POST"] }),
                json!({ "providers": ["other"] }),
            ))
            .push_route(route(
                "token-for-host",
                json!({ "host": "localhost", "path": "/token-for-host" }),
                json!({ "providers": ["idp"] }),
            ))
    }

    #[tokio::test]
    async fn whoever_has_no_rights_gets_nowhere_but_where_the_file_says_none() {
        let (idp, mut other) = (Idp::new(Algorithm::EdDSA), Idp::new(Algorithm::ES256));
        other.issuer = "https://other.example.test".to_owned();
        let app = Upstream::echo().await;
        let gate = Tollgate::start(every_kind_of_route(&idp, &other, &app)).await;

        // What the gateway says it serves is the full list.
        let is_route = |line: &&String| line.starts_with("route ");
        let all = |lines: &[String]| lines.iter().filter(is_route).count() >= WITHOUT_RIGHTS.len();
        let lines = gate.lines_until("its routes", all).await;
        let printed: BTreeSet<String> = lines
            .iter()
            .filter_map(|line| line.strip_prefix("route ")?.split_once(':').map(|(name, _)| name.to_owned()))
            .collect();
        let listed: BTreeSet<String> = WITHOUT_RIGHTS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(printed, listed, "a route is missing from the list of this test");

        let stranger = Idp::new(Algorithm::EdDSA);
        let without_rights: [Option<String>; 6] = [
            None,
            Some("Bearer ".to_owned()),
            Some("Bearer garbage".to_owned()),
            Some("Basic YTpi".to_owned()),
            Some(format!("Bearer {}", stranger.sign(claims("eve")))),
            Some(format!(
                "Bearer {}",
                support::token(r#"{"alg":"none"}"#, &claims("eve").to_string(), |_| Vec::new())
            )),
        ];
        for (name, status) in WITHOUT_RIGHTS {
            for protocol in Protocol::BOTH {
                for method in [Method::GET, Method::POST, Method::HEAD] {
                    for authorization in &without_rights {
                        let mut request = gate
                            .client(protocol)
                            .request(method.clone(), &format!("/{name}"))
                            .host("localhost");
                        if let Some(authorization) = authorization {
                            request = request.header("authorization", authorization);
                        }
                        let answer = request.header("x-user-id", FORGED).await;
                        assert_eq!(answer.status, status, "{name}, {method}, {authorization:?}");
                    }
                }
            }
        }
        assert!(app.requests().iter().all(|request| request.target() == "/open"));

        for path in ["/", "/none", "/token-of-one-and-more", "/open/below", "/metrics", "/healthz", "/readyz"]
        {
            assert_eq!(gate.get(path).await.status, 404, "{path}: there is no default that lets through");
        }
        let here = gate.get("/token-for-host").host("elsewhere.example").await;
        assert_eq!(here.status, 404);
    }

    #[tokio::test]
    async fn the_gateways_own_places_are_those_of_the_list() {
        let (idp, mut other) = (Idp::new(Algorithm::EdDSA), Idp::new(Algorithm::ES256));
        other.issuer = "https://other.example.test".to_owned();
        let app = Upstream::echo().await;
        let gate = Tollgate::start(every_kind_of_route(&idp, &other, &app)).await;
        for path in ADMIN {
            assert_eq!(gate.admin().get(path).await.status, 200, "{path}");
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
                let answer = gate.admin().request(method.clone(), path).await;
                assert_eq!(
                    (answer.status.as_u16(), answer.header("allow")),
                    (405, Some("GET, HEAD")),
                    "{method} {path}"
                );
            }
        }
        for path in [
            "/",
            "/config",
            "/metrics/",
            "/admin",
            "/api",
            "/debug/pprof",
            "/reload",
            "/open",
            "/token-of-one",
        ] {
            assert_eq!(gate.admin().get(path).await.status, 404, "{path}");
        }
        // Without an issuer in the file there is none.
        for path in [
            "/api/token/",
            "/api/token/refresh/",
            "/api/token/verify/",
            "/api/token/blacklist/",
            "/.well-known/jwks.json",
        ] {
            assert_eq!(gate.post(path).await.status, 404, "{path}");
        }
    }

    /// What each of the issuer's places answers to whoever shows nothing, by POST and by GET.
    const ISSUER: [(&str, &str, u16, u16); 7] = [
        ("obtain", "/api/token/", 400, 405),
        ("refresh", "/api/token/refresh/", 400, 405),
        ("verify", "/api/token/verify/", 400, 405),
        ("blacklist", "/api/token/blacklist/", 400, 405),
        ("logout", "/api/token/logout/", 400, 405),
        ("logout_all", "/api/token/logout/all/", 400, 405),
        ("jwks", "/.well-known/jwks.json", 405, 200),
    ];

    #[tokio::test]
    async fn the_issuers_places_give_nothing_to_whoever_shows_nothing() {
        let app = Upstream::echo().await;
        let home = config().issuer().route("/*", "local", &app).write();
        home.generate_key();
        home.add_user("ada", "a-password-of-no-use");
        let gate = Tollgate::start(home).await;

        // What the gateway says it serves is the full list.
        let printed = |lines: &[String]| -> BTreeSet<String> {
            lines.iter().filter_map(|line| line.strip_prefix("endpoint ")).map(ToOwned::to_owned).collect()
        };
        let lines =
            gate.lines_until("its routes", |lines| lines.iter().any(|line| line.starts_with("route "))).await;
        let listed: BTreeSet<String> =
            ISSUER.iter().map(|(name, path, _, _)| format!("{name}: {path}")).collect();
        assert_eq!(printed(&lines), listed, "an endpoint is missing from the list of this test");

        for (name, path, post, get) in ISSUER {
            for protocol in Protocol::BOTH {
                let client = gate.client(protocol);
                for body in
                    [json!({}), json!({ "username": "ada", "password": "", "refresh": "", "token": "" })]
                {
                    let answer = client.post(path).header("x-user-id", FORGED).json(body).await;
                    assert_eq!(answer.status.as_u16(), post, "{name}");
                    assert!(!answer.text().contains("eyJ"), "{name}: {}", answer.text());
                }
                let answer = client.get(path).await;
                assert_eq!(answer.status.as_u16(), get, "{name}");
                assert!(
                    !answer.text().contains("eyJ") && !answer.text().contains("\"d\""),
                    "{}",
                    answer.text()
                );
            }
        }
        assert_eq!(app.requests_seen(), 0);
    }

    #[tokio::test]
    async fn a_route_that_does_not_say_who_may_pass_is_an_error_of_the_file() {
        let app = Upstream::echo().await;
        let file = config().push_route(json!({ "match": { "path": "/*" }, "upstream": app.url() }));
        let Err(finished) = Tollgate::try_start(file).await else { panic!("it started") };
        assert_eq!(finished.status.code(), Some(2));
        let text = finished.lines.join("\n");
        assert!(text.contains("routes[0]") && text.contains("auth: none"), "{text}");
    }
}
