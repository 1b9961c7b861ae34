//! What a token must say: each rule of a provider at its borders, for a token seen first and for one that is cached.

mod support;

use serde_json::{Value, json};
use support::{Config, FORGED, Idp, Protocol, Tollgate, Upstream, claims, config, now};
use tollgate::base::Algorithm;

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

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
        for protocol in BOTH {
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
        for protocol in BOTH {
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

    fn taking(jwks: Value, algorithm: Algorithm, app: &Upstream) -> Config {
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
            passes(taking(jwks, idp.algorithm, &app), &idp).await;
        }
    }

    #[tokio::test]
    async fn a_shared_secret_comes_from_elsewhere() {
        use base64::Engine;
        let (idp, app) = (Idp::new(Algorithm::HS256), Upstream::echo().await);
        let k = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(idp.secret());
        let key = |k: &str| json!({ "keys": [{ "kty": "oct", "kid": idp.kid, "k": k }] });
        passes(taking(key("${K}"), idp.algorithm, &app).env("K", &k), &idp).await;
        passes(taking(key("file:k"), idp.algorithm, &app).file("k", &k), &idp).await;
        passes(taking(json!("${SET}"), idp.algorithm, &app).env("SET", &key(&k).to_string()), &idp).await;
    }
}
