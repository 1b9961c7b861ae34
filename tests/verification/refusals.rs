//! Tokens that do not pass, and what is said of them.

use super::*;

#[tokio::test]
async fn claims_that_are_not_in_order_are_refused_each_for_its_reason() {
    let idp = Idp::new(Algorithm::EdDSA);
    let app = Upstream::echo().await;
    let file = guarded(&idp, &app)
        .set("providers.idp.leeway", json!("0s"))
        .set("providers.idp.required_claims", json!(["sub", "tenant"]));
    let gate = Tollgate::start(file).await;
    let good = |changes: Value| {
        let mut claims = with(json!({ "tenant": "acme" }));
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        claims
    };
    let without = |name: &str| {
        let mut claims = good(json!({}));
        claims.as_object_mut().unwrap().remove(name);
        idp.sign(claims)
    };
    let signed = |changes: Value| idp.sign(good(changes));
    let cases = [
        ("expired long ago", signed(json!({ "exp": now() - 3600 })), "expired"),
        ("expired this second", signed(json!({ "exp": now() })), "expired"),
        ("no exp", without("exp"), "missing_expiry"),
        ("exp is null", signed(json!({ "exp": null })), "malformed_claim"),
        ("exp is text", signed(json!({ "exp": "9999999999" })), "malformed_claim"),
        ("exp beyond all time", signed(json!({ "exp": 1e300 })), "malformed_claim"),
        ("not yet valid", signed(json!({ "nbf": now() + 600 })), "not_yet_valid"),
        ("issued in the future", signed(json!({ "iat": now() + 600 })), "issued_in_the_future"),
        ("another issuer", signed(json!({ "iss": "https://evil.example" })), "unknown_issuer"),
        ("the issuer with a slash", signed(json!({ "iss": "https://id.example.test/" })), "unknown_issuer"),
        ("the issuer in a list", signed(json!({ "iss": ["https://id.example.test"] })), "malformed_claim"),
        ("another audience", signed(json!({ "aud": "another-api" })), "wrong_audience"),
        ("other audiences", signed(json!({ "aud": ["a", "b"] })), "wrong_audience"),
        ("no audience", signed(json!({ "aud": [] })), "wrong_audience"),
        ("a part of the audience", signed(json!({ "aud": "test" })), "wrong_audience"),
        ("an audience that is a number", signed(json!({ "aud": 1 })), "malformed_claim"),
        ("a required claim is absent", without("tenant"), "missing_claim"),
        ("a required claim is null", signed(json!({ "tenant": null })), "missing_claim"),
        ("no subject", without("sub"), "missing_claim"),
        ("a subject that is a number", signed(json!({ "sub": 7 })), "malformed_claim"),
        ("a refresh token", signed(json!({ "token_type": "refresh" })), "wrong_token_type"),
    ];
    assert_refused(&gate, &app, &cases).await;
    let audiences = signed(json!({ "aud": ["another-api", "test-api"] }));
    assert_eq!(gate.get("/").bearer(&audiences).await.status, 200);
}

#[tokio::test]
async fn what_is_no_token_of_strict_form_is_refused() {
    let idp = Idp::new(Algorithm::EdDSA);
    let app = Upstream::echo().await;
    let gate = Tollgate::start(guarded(&idp, &app)).await;
    let good = idp.sign(claims("ada"));
    let parts: Vec<&str> = good.split('.').collect();
    let payload =
        json!({ "sub": "ada", "iss": idp.issuer, "aud": idp.audience, "exp": now() + 300 }).to_string();
    let raw = |header: &str, payload: &str| token(header, payload, |input| idp.signature(input));
    let header = |members: Value| raw(&members.to_string(), &payload);
    let doubled = format!(r#"{{"sub":"eve",{}"#, &payload[1..]);
    let mut last = good.clone().into_bytes();
    let end = last.len() - 1;
    last[end] = if last[end] == b'A' { b'B' } else { b'A' };
    let flipped = |part: usize| {
        let mut changed: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        let middle = changed[part].len() / 2;
        let other = if changed[part].as_bytes()[middle] == b'x' { "y" } else { "x" };
        changed[part].replace_range(middle..=middle, other);
        changed.join(".")
    };
    let cases = [
        ("garbage", "garbage".to_owned(), "malformed_token"),
        ("dots", "..".to_owned(), "malformed_token"),
        ("two parts", format!("{}.{}", parts[0], parts[1]), "malformed_token"),
        ("no signature", format!("{}.{}.", parts[0], parts[1]), "bad_signature"),
        ("four parts", format!("{good}.x"), "malformed_token"),
        ("an encrypted token", format!("{}.a.b.c.d", parts[0]), "encrypted_token"),
        ("padding", format!("{}=.{}.{}", parts[0], parts[1], parts[2]), "malformed_token"),
        ("another alphabet", format!("{}.{}.{}+/", parts[0], parts[1], &parts[2][..84]), "malformed_token"),
        ("a signature cut short", good[..good.len() - 2].to_owned(), "bad_signature"),
        ("a changed signature", flipped(2), "bad_signature"),
        ("no JSON", raw("{", &payload), "malformed_token"),
        ("a payload that is a list", raw(r#"{"alg":"EdDSA"}"#, "[]"), "malformed_token"),
        ("a claim twice", raw(r#"{"alg":"EdDSA"}"#, &doubled), "malformed_token"),
        ("alg twice", raw(r#"{"alg":"EdDSA","alg":"none"}"#, &payload), "malformed_token"),
        ("no alg", header(json!({ "typ": "JWT" })), "algorithm_not_allowed"),
        ("alg none", header(json!({ "alg": "none" })), "algorithm_not_allowed"),
        ("alg None", header(json!({ "alg": "None" })), "algorithm_not_allowed"),
        (
            "alg none without signature",
            token(r#"{"alg":"none"}"#, &payload, |_| Vec::new()),
            "algorithm_not_allowed",
        ),
        ("an unknown alg", header(json!({ "alg": "HS1024" })), "algorithm_not_allowed"),
        ("an algorithm of others", header(json!({ "alg": "ES256" })), "algorithm_not_allowed"),
        ("an unknown key", header(json!({ "alg": "EdDSA", "kid": "nobody's" })), "unknown_key"),
        ("a kid that is a path", header(json!({ "alg": "EdDSA", "kid": "../../dev/null" })), "unknown_key"),
        (
            "a critical extension",
            header(json!({ "alg": "EdDSA", "kid": idp.kid, "crit": ["exp"], "exp": 1 })),
            "critical_header",
        ),
        (
            "an unencoded payload",
            header(json!({ "alg": "EdDSA", "kid": idp.kid, "b64": false })),
            "critical_header",
        ),
        (
            "a logout token",
            header(json!({ "alg": "EdDSA", "kid": idp.kid, "typ": "logout+jwt" })),
            "wrong_typ",
        ),
        (
            "a security event",
            header(json!({ "alg": "EdDSA", "kid": idp.kid, "typ": "secevent+jwt" })),
            "wrong_typ",
        ),
        (
            "a proof of possession",
            header(json!({ "alg": "EdDSA", "kid": idp.kid, "typ": "application/DPoP+JWT" })),
            "wrong_typ",
        ),
        (
            "deep nesting",
            raw(r#"{"alg":"EdDSA"}"#, &format!("{{\"a\":{}{}}}", "[".repeat(50), "]".repeat(50))),
            "malformed_token",
        ),
        ("17 KiB", idp.sign(with(json!({ "long": "a".repeat(17 << 10) }))), "token_too_large"),
    ];
    assert_refused(&gate, &app, &cases).await;
    assert_says_nothing(&gate.get("/").bearer(&flipped(1)).await, "a changed payload");
    assert_says_nothing(&gate.get("/").bearer(&flipped(0)).await, "a changed header");
    // The last character's unused bits: another text of the same bytes is another token.
    assert_says_nothing(
        &gate.get("/").bearer(&String::from_utf8(last).unwrap()).await,
        "a changed last character",
    );
    assert_eq!(app.requests_seen(), 0);
    // An access token by RFC 9068 is one.
    let typed = header(json!({ "alg": "EdDSA", "kid": idp.kid, "typ": "at+jwt" }));
    assert_eq!(gate.get("/").bearer(&typed).await.status, 200);
}

#[tokio::test]
async fn a_public_key_is_never_taken_for_a_secret() {
    let app = Upstream::echo().await;
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let idp = Idp::new(algorithm);
        let pem = idp.public_pem();
        let file = guarded_by(&idp, &app, json!({ "pem_file": "keys/it.pem" })).file("keys/it.pem", &pem);
        let gate = Tollgate::start(file).await;
        let payload =
            json!({ "sub": "eve", "iss": idp.issuer, "aud": idp.audience, "exp": now() + 300 }).to_string();
        let forged = |secret: &[u8]| {
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
            token(r#"{"alg":"HS256","typ":"JWT"}"#, &payload, |input| {
                aws_lc_rs::hmac::sign(&key, input).as_ref().to_vec()
            })
        };
        let cases = [
            ("the PEM text as a secret", forged(pem.as_bytes()), "algorithm_not_allowed"),
            ("the PEM text without its newline", forged(pem.trim_end().as_bytes()), "algorithm_not_allowed"),
            ("an empty secret", forged(b""), "algorithm_not_allowed"),
        ];
        assert_refused(&gate, &app, &cases).await;
    }
}

#[tokio::test]
async fn a_token_never_brings_its_own_key() {
    let app = Upstream::echo().await;
    let idp = Idp::new(Algorithm::ES256);
    let gate = Tollgate::start(guarded(&idp, &app)).await;
    let mallory = Idp::new(Algorithm::ES256);
    let brings = |member: &str, value: Value| {
        let mut header = Map::new();
        header.insert("alg".into(), "ES256".into());
        header.insert(member.into(), value);
        mallory.sign_with(header.into(), with(json!({ "iss": idp.issuer, "aud": idp.audience })))
    };
    let cases = [
        ("jwk", brings("jwk", mallory.jwk()), "bad_signature"),
        ("jku", brings("jku", json!(format!("{}/jwks", app.url()))), "bad_signature"),
        ("x5u", brings("x5u", json!(format!("{}/cert", app.url()))), "bad_signature"),
    ];
    assert_refused(&gate, &app, &cases).await;
}

#[tokio::test]
async fn nothing_sent_is_challenged_without_an_error_and_several_credentials_are_400() {
    let app = Upstream::echo().await;
    let idp = Idp::new(Algorithm::EdDSA);
    let gate = Tollgate::start(guarded(&idp, &app)).await;
    let token = idp.sign(claims("ada"));
    for protocol in Protocol::BOTH {
        let client = gate.client(protocol);
        for other in [None, Some("Basic YTpi"), Some("Token x"), Some("")] {
            let mut request = client.get("/");
            if let Some(other) = other {
                request = request.header("authorization", other);
            }
            let answer = request.await;
            assert_eq!(answer.status, 401, "{other:?}");
            assert_eq!(answer.header("www-authenticate"), Some(r#"Bearer realm="api""#), "{other:?}");
            assert_eq!(answer.json()["code"], "not_authenticated");
        }
        for second in [format!("Bearer {token}"), "Basic YTpi".to_owned(), "Bearer other".to_owned()] {
            let answer = client.get("/").bearer(&token).header("authorization", &second).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (400, &json!("invalid_request")));
            assert_eq!(
                answer.header("www-authenticate"),
                Some(r#"Bearer realm="api", error="invalid_request""#)
            );
        }
        for unusable in ["Bearer", "Bearer ", "Bearer a b"] {
            assert_says_nothing(&client.get("/").header("authorization", unusable).await, unusable);
        }
    }
    let metrics = gate.metrics().await;
    assert_eq!(metrics.sum("tollgate_authentications_total", &[("outcome", "no_token")]), 8.0);
    assert_eq!(metrics.sum("tollgate_authentications_total", &[("outcome", "malformed_credentials")]), 12.0);
    assert_eq!(app.requests_seen(), 0);
}

#[tokio::test]
async fn the_scheme_is_bearer_in_any_case() {
    let app = Upstream::echo().await;
    let idp = Idp::new(Algorithm::EdDSA);
    let gate = Tollgate::start(guarded(&idp, &app)).await;
    let token = idp.sign(claims("ada"));
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let answer = gate.get("/").header("authorization", &format!("{scheme} {token}")).await;
        assert_eq!(answer.status, 200, "{scheme}");
    }
}

#[tokio::test]
async fn a_token_of_a_mebibyte_gets_a_clear_answer() {
    let app = Upstream::echo().await;
    let idp = Idp::new(Algorithm::EdDSA);
    let huge = idp.sign(with(json!({ "long": "a".repeat(1 << 20) })));
    let gate = Tollgate::start(guarded(&idp, &app)).await;
    let mut raw = gate.raw().await;
    raw.send(format!("GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {huge}\r\n\r\n")).await;
    assert_eq!(raw.answer().await.expect("an answer").status(), 431);

    // A file that lets such heads in still looks at no such token.
    let gate =
        Tollgate::start(guarded(&idp, &app).set("server.limits", json!({ "request_head": "1MiB" }))).await;
    let long = idp.sign(with(json!({ "long": "a".repeat(700_000) })));
    assert_says_nothing(&gate.get("/").bearer(&long).await, "a long token");
    let line = gate.log_line("the refusal", |line| line["status"] == 401).await;
    assert_eq!(line["reason"], "token_too_large");
    assert_eq!(gate.get("/").bearer(&idp.sign(claims("ada"))).await.status, 200);
    assert_eq!(app.requests_seen(), 1);
}

#[tokio::test]
async fn leeway_moves_each_border_by_itself_and_no_further() {
    let app = Upstream::echo().await;
    let idp = Idp::new(Algorithm::EdDSA);
    let gate = Tollgate::start(guarded(&idp, &app).set("providers.idp.leeway", json!("60s"))).await;
    let status = async |changes: Value| gate.get("/").bearer(&idp.sign(with(changes))).await.status.as_u16();
    // Five seconds for a machine that is slow.
    assert_eq!(status(json!({ "exp": now() - 55 })).await, 200);
    assert_eq!(status(json!({ "exp": now() - 60 })).await, 401);
    assert_eq!(status(json!({ "nbf": now() + 60 })).await, 200);
    assert_eq!(status(json!({ "nbf": now() + 65 })).await, 401);
    assert_eq!(status(json!({ "iat": now() + 60 })).await, 200);
    assert_eq!(status(json!({ "iat": now() + 65 })).await, 401);
}
