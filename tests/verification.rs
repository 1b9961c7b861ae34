//! Which tokens pass, from which providers, and what everybody learns of those that do not.

#![allow(clippy::unwrap_used, reason = "a helper's panic fails its test")]

mod support;

use serde_json::{Map, Value, json};
use support::{Answer, Config, Idp, Protocol, Tollgate, Upstream, claims, config, now, token};
use tollgate::base::{Algorithm, KeyFamily};

/// One route that needs a token of the provider `idp`.
fn guarded(idp: &Idp, app: &Upstream) -> Config {
    config().provider("idp", idp).route("/*", "idp", app)
}

/// As [`guarded`], with other keys of the provider.
fn guarded_by(idp: &Idp, app: &Upstream, keys: Value) -> Config {
    guarded(idp, app).set("providers.idp.keys", keys)
}

/// The claims of an ordinary token, with these set; `null` takes one away.
#[expect(clippy::needless_pass_by_value, reason = "tests write `json!` in place")]
fn with(changes: Value) -> Value {
    let mut claims = claims("ada");
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

/// An answer's fields of one name, as an echoing upstream got them.
fn got(answer: &Answer, name: &str) -> Vec<String> {
    let body = answer.json();
    let fields = body["fields"].as_array().unwrap_or_else(|| panic!("refused: {answer:?}"));
    let same = fields.iter().filter(|field| field[0].as_str().unwrap().eq_ignore_ascii_case(name));
    same.map(|field| field[1].as_str().unwrap().to_owned()).collect()
}

/// What a client may learn of a token that is not good: nothing but that.
#[track_caller]
fn assert_says_nothing(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 401, "{what}: {answer:?}");
    assert_eq!(
        answer.header("www-authenticate"),
        Some(r#"Bearer realm="api", error="invalid_token""#),
        "{what}"
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(
        answer.text(),
        r#"{"detail":"The access token is not valid.","code":"invalid_token"}"#,
        "{what}"
    );
    let mut names: Vec<&str> = answer.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["cache-control", "content-length", "content-type", "date", "www-authenticate", "x-request-id"],
        "{what}"
    );
}

/// Each of these tokens is refused, and only the operator learns why.
async fn assert_refused(gate: &Tollgate, app: &Upstream, cases: &[(&str, String, &str)]) {
    let connection = gate.client(Protocol::Http2).connect().await;
    for (number, (what, token, reason)) in cases.iter().enumerate() {
        let path = format!("/case-{number}");
        let answer = connection.get(&path).bearer(token).await;
        assert_says_nothing(&answer, what);
        let line = gate.log_line(what, |line| line["path"] == path.as_str()).await;
        assert_eq!(line["reason"], *reason, "{what}: {line}");
        assert_eq!((&line["status"], line.get("subject")), (&json!(401), None), "{what}");
    }
    let metrics = gate.metrics().await;
    let mut expected: std::collections::BTreeMap<&str, f64> = std::collections::BTreeMap::new();
    for (_, _, reason) in cases {
        *expected.entry(reason).or_default() += 1.0;
    }
    for (reason, count) in expected {
        assert_eq!(metrics.sum("tollgate_authentications_total", &[("outcome", reason)]), count, "{reason}");
        assert_eq!(metrics.sum("tollgate_refusals_total", &[("reason", reason)]), count, "{reason}");
    }
    assert_eq!(app.requests_seen(), 0);
}

mod keys {
    use super::*;

    async fn assert_passes(what: &str, idp: &Idp, file: Config) {
        let gate = Tollgate::start(file).await;
        let answer = gate.get("/").bearer(&idp.sign(claims("ada"))).await;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        assert_eq!(got(&answer, "x-user-id"), ["ada"], "{what}");
        assert_eq!(got(&answer, "x-auth-issuer"), ["https://id.example.test"], "{what}");
        let metrics = gate.metrics().await;
        assert_eq!(metrics.sum("tollgate_authentications_total", &[("outcome", "accepted")]), 1.0);

        // One who has the same name and another key.
        let impostor = Idp::new(idp.algorithm);
        let forged = impostor.sign_with(
            json!({ "alg": idp.algorithm.name(), "kid": idp.kid }),
            with(json!({ "iss": idp.issuer, "aud": idp.audience })),
        );
        assert_says_nothing(&gate.get("/").bearer(&forged).await, what);
    }

    #[tokio::test]
    async fn every_algorithm_passes_with_a_key_from_a_key_set_or_a_secret_file() {
        let app = Upstream::echo().await;
        for algorithm in Algorithm::ALL {
            let idp = Idp::new(algorithm);
            assert_passes(algorithm.name(), &idp, guarded(&idp, &app)).await;
        }
    }

    #[tokio::test]
    async fn every_asymmetric_algorithm_passes_with_a_key_from_a_pem_file() {
        let app = Upstream::echo().await;
        for algorithm in Algorithm::ALL {
            if algorithm.family() == KeyFamily::Hmac {
                continue;
            }
            let idp = Idp::new(algorithm);
            let file = guarded_by(&idp, &app, json!({ "pem_file": "keys/idp.pem" }))
                .file("keys/idp.pem", idp.public_pem());
            assert_passes(algorithm.name(), &idp, file).await;
        }
    }

    #[tokio::test]
    async fn a_secret_comes_from_the_environment_or_a_file_and_is_never_printed() {
        let app = Upstream::echo().await;
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let idp = Idp::new(algorithm);
            let file =
                guarded_by(&idp, &app, json!({ "secret": "${IDP_SECRET}" })).env("IDP_SECRET", idp.secret());
            let gate = Tollgate::start(file).await;
            assert_eq!(gate.get("/").bearer(&idp.sign(claims("ada"))).await.status, 200);
            let finished = gate.stop().await;
            assert!(finished.lines.iter().all(|line| !line.contains(idp.secret())), "the secret was printed");

            // One newline at the end of the file is the editor's, not the secret's.
            let file = guarded_by(&idp, &app, json!({ "secret": "file:keys/it" }))
                .file("keys/it", format!("{}\n", idp.secret()));
            assert_passes(algorithm.name(), &idp, file).await;
        }
    }

    #[tokio::test]
    async fn a_key_set_chooses_by_kid_and_a_token_without_kid_finds_its_key() {
        let app = Upstream::echo().await;
        let (old, new) = (Idp::new(Algorithm::ES256), Idp::new(Algorithm::RS256));
        let keys = json!({ "keys": [old.jwk(), new.jwk(), { "kty": "unknown" }] }).to_string();
        let file = guarded_by(&old, &app, json!({ "jwks_file": "keys/both.json" }))
            .file("keys/both.json", keys)
            .set("providers.idp.algorithms", json!(["ES256", "RS256"]));
        let gate = Tollgate::start(file).await;
        for idp in [&old, &new] {
            assert_eq!(gate.get("/").bearer(&idp.sign(claims("ada"))).await.status, 200);
            let nameless =
                idp.sign_with(json!({ "alg": idp.algorithm.name() }), with(json!({ "jti": "nameless" })));
            assert_eq!(gate.get("/").bearer(&nameless).await.status, 200);
        }
        // The name of another's key.
        let misnamed =
            old.sign_with(json!({ "alg": "ES256", "kid": new.kid }), with(json!({ "jti": "misnamed" })));
        assert_says_nothing(&gate.get("/").bearer(&misnamed).await, "another's kid");
    }

    #[tokio::test]
    async fn a_key_serves_only_the_algorithms_that_the_provider_lists() {
        let app = Upstream::echo().await;
        let idp = Idp::new(Algorithm::RS256);
        let gate = Tollgate::start(
            guarded_by(&idp, &app, json!({ "pem_file": "keys/it.pem" }))
                .file("keys/it.pem", idp.public_pem()),
        )
        .await;
        let idp = idp.algorithm(Algorithm::RS512);
        assert_refused(&gate, &app, &[("RS512", idp.sign(claims("ada")), "algorithm_not_allowed")]).await;
        let idp = idp.algorithm(Algorithm::PS256);
        assert_says_nothing(&gate.get("/").bearer(&idp.sign(claims("ada"))).await, "PS256");
    }
}

mod refusals {
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
            (
                "the issuer with a slash",
                signed(json!({ "iss": "https://id.example.test/" })),
                "unknown_issuer",
            ),
            (
                "the issuer in a list",
                signed(json!({ "iss": ["https://id.example.test"] })),
                "malformed_claim",
            ),
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
            (
                "another alphabet",
                format!("{}.{}.{}+/", parts[0], parts[1], &parts[2][..84]),
                "malformed_token",
            ),
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
            (
                "a kid that is a path",
                header(json!({ "alg": "EdDSA", "kid": "../../dev/null" })),
                "unknown_key",
            ),
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
            let payload = json!({ "sub": "eve", "iss": idp.issuer, "aud": idp.audience, "exp": now() + 300 })
                .to_string();
            let forged = |secret: &[u8]| {
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
                token(r#"{"alg":"HS256","typ":"JWT"}"#, &payload, |input| {
                    aws_lc_rs::hmac::sign(&key, input).as_ref().to_vec()
                })
            };
            let cases = [
                ("the PEM text as a secret", forged(pem.as_bytes()), "algorithm_not_allowed"),
                (
                    "the PEM text without its newline",
                    forged(pem.trim_end().as_bytes()),
                    "algorithm_not_allowed",
                ),
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
                assert_eq!(
                    (answer.status.as_u16(), &answer.json()["code"]),
                    (400, &json!("invalid_request"))
                );
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
        assert_eq!(
            metrics.sum("tollgate_authentications_total", &[("outcome", "malformed_credentials")]),
            12.0
        );
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
            Tollgate::start(guarded(&idp, &app).set("server.limits", json!({ "request_head": "1MiB" })))
                .await;
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
        let status =
            async |changes: Value| gate.get("/").bearer(&idp.sign(with(changes))).await.status.as_u16();
        // Five seconds for a machine that is slow.
        assert_eq!(status(json!({ "exp": now() - 55 })).await, 200);
        assert_eq!(status(json!({ "exp": now() - 60 })).await, 401);
        assert_eq!(status(json!({ "nbf": now() + 60 })).await, 200);
        assert_eq!(status(json!({ "nbf": now() + 65 })).await, 401);
        assert_eq!(status(json!({ "iat": now() + 60 })).await, 200);
        assert_eq!(status(json!({ "iat": now() + 65 })).await, 401);
    }
}

mod providers {
    use super::*;

    #[tokio::test]
    async fn providers_of_one_issuer_are_told_apart_by_audience() {
        let app = Upstream::echo().await;
        let idp = Idp::new(Algorithm::EdDSA);
        let keys = json!({ "keys": [idp.jwk()] }).to_string();
        let provider = |audience: &str| {
            json!({
                "issuer": idp.issuer, "keys": { "jwks_file": "keys/it.json" }, "algorithms": ["EdDSA"],
                "audiences": [audience],
            })
        };
        let route = |path: &str, providers: Value| json!({ "match": { "path": path }, "auth": { "providers": providers }, "upstream": app.url() });
        let gate = Tollgate::start(
            config()
                .file("keys/it.json", keys)
                .set("providers.shop", provider("shop"))
                .set("providers.bank", provider("bank"))
                .push_route(route("/shop", json!(["shop"])))
                .push_route(route("/bank", json!(["bank"])))
                .push_route(route("/both", json!(["shop", "bank"]))),
        )
        .await;
        let (shop, bank) =
            (idp.sign(with(json!({ "aud": "shop" }))), idp.sign(with(json!({ "aud": "bank" }))));
        // Twice: what one provider vouched for is in the cache, and the other's policy is asked all the same.
        for _ in 0..2 {
            for (path, token, status) in [
                ("/shop", &shop, 200),
                ("/shop", &bank, 401),
                ("/bank", &bank, 200),
                ("/bank", &shop, 401),
                ("/both", &shop, 200),
                ("/both", &bank, 200),
            ] {
                assert_eq!(gate.get(path).bearer(token).await.status, status, "{path}");
            }
        }
    }

    #[tokio::test]
    async fn a_route_takes_tokens_of_its_own_providers_only() {
        let app = Upstream::echo().await;
        let mut other = Idp::new(Algorithm::ES256);
        other.issuer = "https://other.example.test".to_owned();
        let idp = Idp::new(Algorithm::EdDSA);
        let gate = Tollgate::start(
            config()
                .provider("idp", &idp)
                .provider("other", &other)
                .route("/idp", "idp", &app)
                .route("/other", "other", &app)
                .push_route(json!({
                    "match": { "path": "/both" }, "auth": { "providers": ["idp", "other"] }, "upstream": app.url(),
                })),
        )
        .await;
        let (of_idp, of_other) = (idp.sign(claims("ada")), other.sign(claims("bob")));
        for _ in 0..2 {
            for (path, token, status) in [
                ("/idp", &of_idp, 200),
                ("/idp", &of_other, 401),
                ("/other", &of_other, 200),
                ("/other", &of_idp, 401),
                ("/both", &of_idp, 200),
                ("/both", &of_other, 200),
            ] {
                assert_eq!(gate.get(path).bearer(token).await.status, status, "{path}");
            }
        }
        let answer = gate.get("/both").bearer(&of_other).await;
        assert_eq!(got(&answer, "x-auth-issuer"), ["https://other.example.test"]);
        // A key vouches for its own provider alone.
        let crossed = other.sign(with(json!({ "iss": idp.issuer })));
        assert_says_nothing(&gate.get("/both").bearer(&crossed).await, "another's issuer");
    }

    #[tokio::test]
    async fn issuer_any_takes_whatever_the_key_signed_and_the_header_never_repeats_the_claim() {
        let app = Upstream::echo().await;
        let idp = Idp::new(Algorithm::EdDSA);
        let gate = Tollgate::start(guarded(&idp, &app).set("providers.idp.issuer", json!("any"))).await;
        let answer = gate.get("/").bearer(&idp.sign(with(json!({ "iss": "https://anybody.example" })))).await;
        assert_eq!(answer.status, 200);
        assert_eq!(got(&answer, "x-auth-issuer"), Vec::<String>::new());
        let nameless = token(
            &json!({ "alg": "EdDSA", "kid": idp.kid }).to_string(),
            &json!({ "sub": "ada", "aud": idp.audience, "exp": now() + 300 }).to_string(),
            |input| idp.signature(input),
        );
        assert_eq!(gate.get("/").bearer(&nameless).await.status, 200);
    }

    #[tokio::test]
    async fn audiences_any_takes_tokens_for_anybody_and_warns() {
        let app = Upstream::echo().await;
        let idp = Idp::new(Algorithm::EdDSA);
        let gate = Tollgate::start(guarded(&idp, &app).set("providers.idp.audiences", json!("any"))).await;
        assert_eq!(gate.get("/").bearer(&idp.sign(with(json!({ "aud": "whoever" })))).await.status, 200);
        let warned = |line: &String| line.starts_with("warning: ") && line.contains("audiences");
        gate.lines_until("a warning", |lines| lines.iter().any(warned)).await;
    }

    #[tokio::test]
    async fn a_provider_with_simplejwts_tokens_takes_access_tokens_only() {
        let app = Upstream::echo().await;
        let idp = Idp::new(Algorithm::HS256);
        let gate =
            Tollgate::start(guarded(&idp, &app).set("providers.idp.token_type", json!("access"))).await;
        for (token_type, status) in
            [(json!("access"), 200), (json!("refresh"), 401), (json!("sliding"), 401), (Value::Null, 401)]
        {
            let token = idp.sign(with(json!({ "token_type": token_type, "sub": null, "user_id": 7 })));
            let answer = gate.get("/").bearer(&token).await;
            assert_eq!(answer.status, status, "{token_type}");
            if status == 200 {
                assert_eq!(got(&answer, "x-user-id"), ["7"]);
            }
        }
    }
}

mod cache {
    use super::*;

    fn lookups(metrics: &support::Metrics, result: &str) -> f64 {
        metrics.sum("tollgate_token_cache_lookups_total", &[("result", result)])
    }

    #[tokio::test]
    async fn a_token_is_verified_once_and_then_known_to_its_worker() {
        let app = Upstream::echo().await;
        let idp = Idp::new(Algorithm::RS256);
        let gate = Tollgate::start(guarded(&idp, &app)).await;
        let token = idp.sign(claims("ada"));
        let connection = gate.client(Protocol::Http1).connect().await;
        for _ in 0..10 {
            assert_eq!(got(&connection.get("/").bearer(&token).await, "x-user-id"), ["ada"]);
        }
        let metrics = gate.metrics().await;
        assert_eq!((lookups(&metrics, "miss"), lookups(&metrics, "worker_hit")), (1.0, 9.0));
        assert_eq!(metrics.sum("tollgate_authentications_total", &[("outcome", "accepted")]), 10.0);
    }

    #[tokio::test]
    async fn what_one_worker_verified_another_need_not() {
        let app = Upstream::echo().await;
        let idp = Idp::new(Algorithm::RS256);
        let gate = Tollgate::start(guarded(&idp, &app).set("server.workers", json!(4))).await;
        let token = idp.sign(claims("ada"));
        assert_eq!(gate.get("/").bearer(&token).await.status, 200);
        // The kernel spreads connections; held open, they fill all workers.
        let mut connections = Vec::new();
        for _ in 0..40 {
            let connection = gate.client(Protocol::Http1).connect().await;
            assert_eq!(connection.get("/").bearer(&token).await.status, 200);
            connections.push(connection);
        }
        let metrics = gate.metrics().await;
        assert_eq!(lookups(&metrics, "miss"), 1.0);
        assert_eq!(lookups(&metrics, "shared_hit"), 3.0, "{}", metrics.text);
        assert_eq!(lookups(&metrics, "worker_hit"), 37.0);
    }

    #[tokio::test]
    async fn a_known_token_ends_at_its_expiry() {
        let app = Upstream::echo().await;
        let idp = Idp::new(Algorithm::EdDSA);
        let gate = Tollgate::start(guarded(&idp, &app).set("providers.idp.leeway", json!("0s"))).await;
        let token = idp.sign(with(json!({ "exp": now() + 2 })));
        let connection = gate.client(Protocol::Http1).connect().await;
        assert_eq!(connection.get("/").bearer(&token).await.status, 200);
        let refused = support::within("the expiry", async {
            loop {
                let answer = connection.get("/").bearer(&token).await;
                if answer.status != 200 {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_says_nothing(&refused, "expired");
        let metrics = gate.metrics().await;
        assert_eq!(lookups(&metrics, "miss"), 1.0, "it was known all the time");
        assert_eq!(metrics.sum("tollgate_authentications_total", &[("outcome", "expired")]), 1.0);
    }

    #[tokio::test]
    async fn a_token_that_begins_like_a_known_one_is_not_known() {
        let app = Upstream::echo().await;
        let idp = Idp::new(Algorithm::EdDSA);
        let gate = Tollgate::start(guarded(&idp, &app)).await;
        let connection = gate.client(Protocol::Http1).connect().await;
        let good = idp.sign(claims("ada"));
        assert_eq!(connection.get("/").bearer(&good).await.status, 200);
        let parts: Vec<&str> = good.split('.').collect();
        let eve = idp.sign(claims("eve"));
        let payload = eve.split('.').nth(1).unwrap();
        // The tail decides where a token lies in the cache: here it is the known one's.
        let forged = format!("{}.{payload}.{}", parts[0], parts[2]);
        for _ in 0..2 {
            assert_says_nothing(&connection.get("/").bearer(&forged).await, "another payload");
            assert_says_nothing(&connection.get("/").bearer(&good[..good.len() - 1]).await, "cut short");
            assert_says_nothing(&connection.get("/").bearer(&format!("{good}A")).await, "longer");
        }
        let metrics = gate.metrics().await;
        assert!(lookups(&metrics, "refused_hit") >= 1.0, "a bad signature is remembered: {}", metrics.text);
        assert_eq!(got(&connection.get("/").bearer(&good).await, "x-user-id"), ["ada"]);
    }

    #[tokio::test]
    async fn the_cache_can_be_switched_off() {
        let app = Upstream::echo().await;
        let idp = Idp::new(Algorithm::EdDSA);
        let gate = Tollgate::start(guarded(&idp, &app).set("server.token_cache", json!("off"))).await;
        let token = idp.sign(claims("ada"));
        let connection = gate.client(Protocol::Http1).connect().await;
        for _ in 0..5 {
            assert_eq!(got(&connection.get("/").bearer(&token).await, "x-user-id"), ["ada"]);
            assert_says_nothing(
                &connection.get("/").bearer(&format!("{token}AAAA")).await,
                "a bad signature",
            );
        }
        let metrics = gate.metrics().await;
        for result in ["worker_hit", "shared_hit", "refused_hit"] {
            assert_eq!(lookups(&metrics, result), 0.0, "{result}");
        }
    }
}
