//! One reading of a path, for the router and the upstream.

use super::*;

/// Ways to write `/admin/secret`, or to climb there from `/public/`, that some server understands.
const DISGUISES: [&str; 42] = [
    "/admin/secret",
    "/%61dmin/secret",
    "/%61%64%6d%69%6e/secret",
    "//admin/secret",
    "///admin//secret",
    "/./admin/secret",
    "/public/../admin/secret",
    "/public/%2e%2e/admin/secret",
    "/public/.%2E/admin/secret",
    "/public/%2e./admin/secret",
    "/public//../admin/secret",
    "/public/./../admin/secret",
    "/public/x/../../admin/secret",
    "/public/../public/../admin/secret",
    "/../admin/secret",
    "/../../admin/secret",
    "/public/..%2fadmin/secret",
    "/public/..%2Fadmin/secret",
    "/public%2f..%2fadmin/secret",
    "/public%2f../admin/secret",
    "/public/%2e%2e%2fadmin/secret",
    "/public/..%5cadmin/secret",
    "/public/..\\admin/secret",
    "/public\\..\\admin\\secret",
    "/public/%2e%2e%5cadmin%5csecret",
    "/public/%252e%252e/admin/secret",
    "/public/%252e%252e%252fadmin/secret",
    "/public/..%252fadmin/secret",
    "/public/..%255cadmin/secret",
    "/public/..%25%32%66admin/secret",
    "/public/..%25252fadmin/secret",
    "/public/%25%32%65%25%32%65/admin/secret",
    "/public/..;/admin/secret",
    "/public/..;x=y/admin/secret",
    "/public/..%3b/admin/secret",
    "/public/..%3Bx/admin/secret",
    "/public/..%253b/admin/secret",
    "/public/.;/../admin/secret",
    "/public/%2e%2e;/admin/secret",
    "/public/..%00/admin/secret",
    "/public/%c0%ae%c0%ae/admin/secret",
    "http://localhost/public/../admin/secret",
];

/// What the most lenient server makes of a path: decoded again and again, with parameters cut, backslashes
/// turned, and only then climbed.
fn most_lenient_reading(target: &str) -> String {
    let mut path = target.split('?').next().unwrap_or_default().to_owned();
    loop {
        let decoded = percent_encoding::percent_decode_str(&path).decode_utf8_lossy().into_owned();
        if decoded == path {
            break;
        }
        path = decoded;
    }
    let mut kept: Vec<String> = Vec::new();
    for segment in path.replace('\\', "/").split('/') {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => drop(kept.pop()),
            name => kept.push(name.to_owned()),
        }
    }
    format!("/{}", kept.join("/"))
}

#[test]
fn the_disguises_are_disguises_of_one_path() {
    for disguise in DISGUISES {
        // An overlong encoding and a NUL are for servers that no decoder of today imitates.
        if !disguise.contains("%c0") && !disguise.contains("%00") {
            let path = disguise.strip_prefix("http://localhost").unwrap_or(disguise);
            assert_eq!(most_lenient_reading(path), "/admin/secret", "{disguise}");
        }
    }
}

#[tokio::test]
async fn no_spelling_of_a_protected_path_passes_for_an_open_one() {
    let idp = Idp::new(Algorithm::EdDSA);
    let app = Upstream::echo().await;
    let everything = ["encoded_slash", "double_encoding", "parameters"];
    let below_public =
        config().provider("idp", &idp).route("/admin/*", "idp", &app).open_route("/public/*", &app);
    let lenient = config().provider("idp", &idp).route("/admin/*", "idp", &app).push_route(json!({
        "match": { "path": "/public/*" }, "auth": "none", "upstream": app.url(), "allow_in_path": everything,
    }));
    let all_else = config().provider("idp", &idp).route("/admin/*", "idp", &app).open_route("/*", &app);
    let other_way_round = config()
        .provider("idp", &idp)
        .route("/*", "idp", &app)
        .open_route("/public/*", &app)
        .open_route("/public", &app);
    let token = idp.sign(claims("ada"));
    for file in [below_public, lenient, all_else, other_way_round] {
        let gate = Tollgate::start(file).await;
        for disguise in DISGUISES {
            let answer = ask_for(&gate, disguise).await;
            if answer.status() == 200 {
                // One reading of several that differ: then the upstream must have got that one.
                let reading = most_lenient_reading(answer.json()["target"].as_str().unwrap());
                assert!(!reading.starts_with("/admin"), "{disguise}: {}", answer.text());
                continue;
            }
            assert!(matches!(answer.status(), 400 | 401 | 404), "{disguise}: {}", answer.text());
        }
        for request in app.requests() {
            let reading = most_lenient_reading(request.target());
            assert!(!reading.starts_with("/admin"), "{} reached the upstream", request.target());
        }
        // The same way is open to those who may.
        let answer = gate.get("/%61dmin/secret").bearer(&token).await;
        assert_eq!(answer.json()["target"], "/admin/secret");
        let seen = app.requests_seen();
        assert_eq!(app.requests()[seen - 1].target(), "/admin/secret");
        drop(gate);
        if seen > 0 {
            // What was allowed is no finding for the next file.
            app.forget();
        }
    }
}

#[tokio::test]
async fn the_upstream_gets_the_path_that_the_router_compared() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    for (sent, forwarded) in [
        ("/", "/"),
        ("/%61%62%63", "/abc"),
        ("/%7Euser/%2D%5F%2E", "/~user/-_."),
        ("/a/./b/../c", "/a/c"),
        ("/a/%2e/b/%2E%2e/c", "/a/c"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/../../a", "/a"),
        ("//a///b//", "/a/b/"),
        ("/a%20b", "/a%20b"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/%40me", "/%40me"),
        ("/@me", "/@me"),
        ("/a:b,c!$&'()*+=", "/a:b,c!$&'()*+="),
        ("/100%25", "/100%25"),
        ("/.well-known/x", "/.well-known/x"),
        ("/a?x=%2e%2e/..//;%00\\", "/a?x=%2e%2e/..//;%00\\"),
        ("/%61?x", "/a?x"),
        ("/a?", "/a?"),
    ] {
        let answer = ask_for(&gate, sent).await;
        assert_eq!(answer.status(), 200, "{sent}: {}", answer.text());
        assert_eq!(answer.json()["target"], forwarded, "{sent}");
    }
}

#[tokio::test]
async fn both_protocols_forward_the_same_path() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    for protocol in Protocol::BOTH {
        let answer = gate.client(protocol).get("/%61/../b//c?d=%61").await;
        assert_eq!(answer.json()["target"], "/b/c?d=%61", "{protocol:?}");
        let answer = gate.client(protocol).get("/a%2fb").await;
        assert_refusal(&answer, 400, "invalid_request");
    }
}

#[tokio::test]
async fn a_path_that_servers_read_differently_is_400() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    for path in [
        "/%00",
        "/a%00b",
        "/%ff",
        "/%c3",
        "/%c3%28",
        "/%ed%a0%80",
        "/%c0%af",
        "/%",
        "/%4",
        "/%zz",
        "/a\\b",
        "/a%5cb",
        "/a%5Cb",
        "/a%2fb",
        "/a%2Fb",
        "/a%252fb",
        "/a%252e",
        "/%2561",
        "/a;b",
        "/a;b=c/d",
        "/;",
        "*",
        "a",
        "",
    ] {
        let answer = ask_for(&gate, path).await;
        assert_eq!(answer.status(), 400, "{path}: {}", answer.text());
    }
    let line = gate.log_line("a refusal", |line| line["path"] == "/a;b").await;
    assert_eq!((&line["status"], &line["reason"]), (&json!(400), &json!("ambiguous_path")));
    assert_eq!(settle(&gate, &app).await.len(), 0);
}

#[tokio::test]
async fn a_route_lets_through_what_it_names_and_leaves_it_untouched() {
    let app = Upstream::echo().await;
    let mut file = config();
    for allowed in ["encoded_slash", "double_encoding", "parameters"] {
        file = file.push_route(json!({
            "match": { "path": format!("/{allowed}/*") }, "auth": "none", "upstream": app.url(),
            "allow_in_path": allowed,
        }));
    }
    let gate = Tollgate::start(file).await;
    let tails = [
        ("encoded_slash", "a%2Fb"),
        ("encoded_slash", "a%5Cb"),
        ("encoded_slash", "a\\b"),
        ("double_encoding", "a%252Fb"),
        ("double_encoding", "a%2541"),
        ("parameters", "a;b=c/d;e"),
    ];
    for (needed, tail) in tails {
        for route in ["encoded_slash", "double_encoding", "parameters"] {
            let path = format!("/{route}/{tail}");
            let answer = ask_for(&gate, &path).await;
            if route == needed {
                assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
                assert_eq!(answer.json()["target"], path);
            } else {
                assert_refused(&answer, 400, "invalid_request");
            }
        }
    }
}
