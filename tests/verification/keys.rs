//! Keys of every kind and form.

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
        guarded_by(&idp, &app, json!({ "pem_file": "keys/it.pem" })).file("keys/it.pem", idp.public_pem()),
    )
    .await;
    let idp = idp.algorithm(Algorithm::RS512);
    assert_refused(&gate, &app, &[("RS512", idp.sign(claims("ada")), "algorithm_not_allowed")]).await;
    let idp = idp.algorithm(Algorithm::PS256);
    assert_says_nothing(&gate.get("/").bearer(&idp.sign(claims("ada"))).await, "PS256");
}
