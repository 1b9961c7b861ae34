//! Which provider vouches for a token.

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
    let (shop, bank) = (idp.sign(with(json!({ "aud": "shop" }))), idp.sign(with(json!({ "aud": "bank" }))));
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
    let gate = Tollgate::start(guarded(&idp, &app).set("providers.idp.token_type", json!("access"))).await;
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
