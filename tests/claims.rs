//! What a token must say: each rule of a provider at its borders, for a token seen first and for one that is cached.

mod support;

use serde_json::{Value, json};
use support::{Config, FORGED, Idp, Protocol, Tollgate, Upstream, claims, config, now};
use tollgate::base::Algorithm;

fn optional(idp: &Idp, app: &Upstream) -> Config {
    config().provider("idp", idp).push_route(json!({
        "match": { "path": "/*" },
        "auth": { "providers": ["idp"], "mode": "optional" },
        "upstream": app.url(),
    }))
}

mod optional_mode {
    use super::*;

    #[tokio::test]
    async fn without_a_token_a_request_passes_and_the_upstream_hears_of_nobody() {
        let (idp, app) = (Idp::new(Algorithm::EdDSA), Upstream::echo().await);
        let gate = Tollgate::start(optional(&idp, &app)).await;
        for protocol in Protocol::BOTH {
            let answer = gate.client(protocol).get("/").header("x-user-id", FORGED).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let answer = gate.client(protocol).get("/").bearer(&idp.sign(claims("ada"))).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        for pair in app.requests().chunks(2) {
            let [anonymous, known] = pair else { panic!("two requests each") };
            assert!(
                !anonymous
                    .fields
                    .iter()
                    .any(|(name, _)| name.starts_with("x-user") || name.starts_with("x-auth")),
                "{}",
                anonymous.text()
            );
            assert_eq!(known.header("x-user-id"), Some("ada"));
        }
        let metrics = gate.metrics_until("both to be counted", |metrics| {
            metrics.sum("tollgate_authentications_total", &[("outcome", "accepted")]) >= 2.0
        });
        assert_eq!(metrics.await.sum("tollgate_authentications_total", &[]), 2.0, "nobody else was asked");
    }

    #[tokio::test]
    async fn a_bad_token_is_refused_all_the_same() {
        let (idp, app) = (Idp::new(Algorithm::EdDSA), Upstream::echo().await);
        let gate = Tollgate::start(optional(&idp, &app)).await;
        let expired = json!({ "sub": "ada", "exp": now() - 300 });
        let stranger = Idp::new(Algorithm::EdDSA).sign(claims("ada"));
        for protocol in Protocol::BOTH {
            for token in [idp.sign(expired.clone()), stranger.clone(), "garbage".to_owned()] {
                let answer = gate.client(protocol).get("/").bearer(&token).await;
                assert_eq!(answer.status, 401, "{answer:?}");
                assert_eq!(answer.json()["code"], "invalid_token");
            }
            let answer = gate.client(protocol).get("/").header("authorization", "Bearer ").await;
            assert_eq!(answer.status, 401, "{answer:?}");
        }
        assert_eq!(app.requests_seen(), 0);
    }
}

mod inline_keys {
    use super::*;

    fn taking(jwks: &Value, algorithm: Algorithm, app: &Upstream) -> Config {
        config()
            .set(
                "providers",
                json!({ "idp": {
                    "issuer": "https://id.example.test",
                    "keys": { "jwks": jwks },
                    "algorithms": [algorithm.name()],
                    "audiences": ["test-api"],
                } }),
            )
            .route("/*", "idp", app)
    }

    async fn passes(file: Config, idp: &Idp) {
        let gate = Tollgate::start(file).await;
        assert_eq!(gate.get("/").bearer(&idp.sign(claims("ada"))).await.status, 200);
        let stranger = Idp::new(idp.algorithm).sign(claims("ada"));
        assert_eq!(gate.get("/").bearer(&stranger).await.status, 401);
    }

    #[tokio::test]
    async fn public_keys_stand_in_the_file_as_yaml_or_as_json() {
        let (idp, app) = (Idp::new(Algorithm::ES256), Upstream::echo().await);
        let set = json!({ "keys": [idp.jwk()] });
        for jwks in [set.clone(), Value::String(set.to_string())] {
            passes(taking(&jwks, idp.algorithm, &app), &idp).await;
        }
    }

    #[tokio::test]
    async fn a_shared_secret_comes_from_elsewhere() {
        use base64::Engine;
        let (idp, app) = (Idp::new(Algorithm::HS256), Upstream::echo().await);
        let k = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(idp.secret());
        let key = |k: &str| json!({ "keys": [{ "kty": "oct", "kid": idp.kid, "k": k }] });
        passes(taking(&key("${K}"), idp.algorithm, &app).env("K", &k), &idp).await;
        passes(taking(&key("file:k"), idp.algorithm, &app).file("k", &k), &idp).await;
        passes(taking(&json!("${SET}"), idp.algorithm, &app).env("SET", &key(&k).to_string()), &idp).await;
    }
}

mod rules {
    use super::*;

    /// A rule, which is also the name of its route and provider.
    struct Rule {
        name: &'static str,
        keys: Value,
        /// Changes to a token that the rule still allows, and to one that it does not.
        good: Value,
        bad: Value,
        reason: &'static str,
    }

    fn rules() -> Vec<Rule> {
        let rule = |name, keys, good, bad, reason| Rule { name, keys, good, bad, reason };
        let now = now();
        vec![
            rule(
                "all-audiences",
                json!({ "audiences": { "all": ["a", "b"] } }),
                json!({ "aud": ["b", "c", "a"] }),
                json!({ "aud": ["a", "c"] }),
                "wrong_audience",
            ),
            rule(
                "party",
                json!({ "authorized_parties": ["web"] }),
                json!({ "azp": "web" }),
                json!({ "azp": "web", "client_id": "other" }),
                "wrong_authorized_party",
            ),
            rule("typ", json!({ "typ": "JWT" }), json!({}), json!({ "typ": "at+jwt" }), "wrong_typ"),
            rule(
                "value",
                json!({ "required_claims": { "owner": ["acme"] } }),
                json!({ "owner": ["x", "acme"] }),
                json!({ "owner": "x" }),
                "wrong_claim_value",
            ),
            rule(
                "presence",
                json!({ "required_claims": ["owner"] }),
                json!({ "owner": 0 }),
                json!({}),
                "missing_claim",
            ),
            rule(
                "age",
                json!({ "max_age": "1h", "leeway": "1m" }),
                // Far enough from the border for the time that the test takes.
                json!({ "iat": now - 3600 }),
                json!({ "iat": now - 3600 - 61 }),
                "token_too_old",
            ),
            rule(
                "lifetime",
                json!({ "max_lifetime": "5m" }),
                json!({ "iat": now, "exp": now + 300 }),
                json!({ "iat": now, "exp": now + 301 }),
                "lifetime_too_long",
            ),
            rule("no-iat", json!({ "max_age": "1h" }), json!({}), json!({ "iat": null }), "missing_claim"),
        ]
    }

    /// All providers have one key, so that a token that one of them knows is in the cache for the others too.
    fn file(idp: &Idp, app: &Upstream) -> Config {
        let mut file = config()
            .provider("lax", idp)
            .set("providers.lax.audiences", json!("any"))
            .route("/lax", "lax", app);
        for rule in rules() {
            let mut provider = json!({
                "issuer": idp.issuer,
                "keys": { "jwks_file": "keys/lax.jwks.json" },
                "algorithms": [idp.algorithm.name()],
                "audiences": "any",
            });
            for (key, value) in rule.keys.as_object().expect("a section") {
                provider[key] = value.clone();
            }
            file = file.set(&format!("providers.{}", rule.name), provider).push_route(json!({
                "name": rule.name,
                "match": { "path": format!("/{}", rule.name) },
                "auth": { "providers": [rule.name] },
                "upstream": app.url(),
            }));
        }
        file
    }

    fn token(idp: &Idp, id: &str, changes: &Value) -> String {
        let mut claims = claims("ada");
        claims["jti"] = id.into();
        let mut header = json!({ "alg": idp.algorithm.name(), "typ": "JWT", "kid": idp.kid });
        for (name, value) in changes.as_object().expect("claims") {
            match (name.as_str(), value) {
                ("typ", value) => header["typ"] = value.clone(),
                (name, Value::Null) => drop(claims.as_object_mut().expect("claims").remove(name)),
                (name, value) => claims[name] = value.clone(),
            }
        }
        idp.sign_with(header, claims)
    }

    #[tokio::test]
    async fn each_rule_holds_for_a_token_seen_first_and_for_one_that_is_cached() {
        let (idp, app) = (Idp::new(Algorithm::EdDSA), Upstream::echo().await);
        let gate = Tollgate::start(file(&idp, &app)).await;
        for protocol in Protocol::BOTH {
            // One connection, so one worker and its cache.
            let connection = gate.client(protocol).connect().await;
            for rule in rules() {
                for (changes, status) in [(&rule.good, 200), (&rule.bad, 401)] {
                    let token = token(&idp, &format!("{protocol:?} {} {status}", rule.name), changes);
                    for path in [rule.name, rule.name, "lax", rule.name, rule.name] {
                        let answer = connection.get(&format!("/{path}")).bearer(&token).await;
                        let expected = if path == "lax" { 200 } else { status };
                        assert_eq!(answer.status, expected, "{path} {}: {}", rule.name, answer.text());
                    }
                }
            }
        }
        for rule in rules() {
            let line =
                gate.log_line(rule.name, |line| line["route"] == rule.name && line["status"] == 401).await;
            assert_eq!(line["reason"], rule.reason, "{line}");
        }
        let metrics = gate.metrics_until("all refusals", |metrics| {
            metrics.sum("tollgate_refusals_total", &[])
                >= 8.0 * f64::from(u8::try_from(rules().len()).expect("a few"))
        });
        let metrics = metrics.await;
        for rule in rules() {
            let labels = [("reason", rule.reason), ("route", rule.name)];
            assert_eq!(metrics.sum("tollgate_refusals_total", &labels), 8.0, "{}", rule.name);
        }
    }

    #[tokio::test]
    async fn a_cached_token_grows_too_old() {
        let (idp, app) = (Idp::new(Algorithm::EdDSA), Upstream::echo().await);
        let file = config().provider("idp", &idp).route("/*", "idp", &app);
        let file = file.set("providers.idp.max_age", json!("2s")).set("providers.idp.leeway", json!("0s"));
        let gate = Tollgate::start(file).await;
        let connection = gate.client(Protocol::Http1).connect().await;
        let token = idp.sign(claims("ada"));
        assert_eq!(connection.get("/").bearer(&token).await.status, 200);
        let ends = support::within("the token to grow too old", async {
            while connection.get("/").bearer(&token).await.status == 200 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        ends.await;
        let line = gate.log_line("the refusal", |line| line["status"] == 401).await;
        assert_eq!((&line["reason"], &line["detail"]), (&json!("token_too_old"), &json!("issued 3s ago")));
    }
}
