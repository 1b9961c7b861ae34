//! Keys that are found by the issuer's document.

use super::*;

/// What an issuer says of itself, by the origin of its server.
type Document = fn(&str) -> Value;

/// A server that has the discovery document in one form alone, made by `document` from its own URL.
async fn discovery_server(path: &'static str, keys: Reply, document: Document) -> Upstream {
    Upstream::start(move |request: &Message| {
        let origin = format!("http://{}", request.header("host").unwrap());
        match request.target() {
            "/keys" => keys.clone(),
            target if target == path => Reply::json(document(&origin)),
            _ => Reply::new(404, ""),
        }
    })
    .await
}

fn discovered(idp: &Idp) -> Value {
    let mut provider = fetched(idp, "", often());
    provider["keys"] = json!({ "discovery": true });
    provider.as_object_mut().unwrap().remove("algorithms");
    provider
}

fn own_document(origin: &str) -> Value {
    json!({ "issuer": format!("{origin}/realms/shop"), "jwks_uri": format!("{origin}/keys") })
}

#[tokio::test]
async fn keys_are_found_by_the_issuers_document_in_both_forms() {
    let app = Upstream::echo().await;
    for path in [
        "/realms/shop/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/realms/shop",
    ] {
        let mut idp = idp("id");
        let server = discovery_server(path, key_set(&[&idp]), own_document).await;
        idp.issuer = format!("{}/realms/shop", server.url());
        let gate =
            Tollgate::start(config().set("providers.idp", discovered(&idp)).route("/*", "idp", &app)).await;
        assert_eq!(ask(&gate, &idp).await.status, 200, "{path}");
        until_fetched(&gate, "idp", "ok", 2.0).await;
        let documents = server.requests().iter().filter(|request| request.target() == path).count();
        assert!(documents >= 2, "the document is fetched again as the keys are: {documents}");
    }
}

#[tokio::test]
async fn a_document_of_another_issuer_leads_to_no_keys() {
    let app = Upstream::echo().await;
    let documents: [(&str, Document); 3] = [
        ("other_issuer", |origin| json!({ "issuer": origin, "jwks_uri": format!("{origin}/keys") })),
        ("no_keys_url", |origin| json!({ "issuer": format!("{origin}/realms/shop") })),
        (
            "forbidden",
            |origin| json!({ "issuer": format!("{origin}/realms/shop"), "jwks_uri": "ftp://127.0.0.1/keys" }),
        ),
    ];
    for (outcome, document) in documents {
        let mut idp = idp("id");
        let path = "/realms/shop/.well-known/openid-configuration";
        let server = discovery_server(path, key_set(&[&idp]), document).await;
        idp.issuer = format!("{}/realms/shop", server.url());
        let gate =
            Tollgate::start(config().set("providers.idp", discovered(&idp)).route("/*", "idp", &app)).await;
        until_fetched(&gate, "idp", outcome, 1.0).await;
        assert_eq!(ask(&gate, &idp).await.status, 503, "{outcome}");
        assert!(server.requests().iter().all(|request| request.target() != "/keys"), "{outcome}");
    }
}

#[tokio::test]
async fn a_document_server_that_misbehaves_leads_to_no_keys_and_concerns_nobody_else() {
    let (app, good, elsewhere) = (Upstream::echo().await, idp("good"), Upstream::echo().await);
    let key_server = KeyServer::with(&[&good]).await;
    let answers = |reply: Reply| Upstream::start(move |_| reply.clone());
    let redirect = Reply::new(302, "").field("Location", &elsewhere.url());
    let servers = [
        ("timeout", Upstream::scripted([Step::Read, Step::Stall]).await),
        ("too_large", Upstream::scripted([Step::Read, endless_body(), Step::Stall]).await),
        ("too_large", answers(Reply::new(200, vec![b' '; 10 << 20])).await),
        ("redirect", answers(redirect).await),
        ("no_document", answers(Reply::new(200, "<!doctype html><title>Maintenance</title>")).await),
        ("other_issuer", answers(Reply::json(json!({}))).await),
        ("status", answers(Reply::new(500, "")).await),
    ];
    let bad = servers.iter().map(|(outcome, server)| {
        let mut idp = idp("bad");
        idp.issuer = server.url();
        let provider = discovered(&idp);
        (*outcome, idp, provider)
    });
    assert_no_keys_come(bad.collect(), (&good, &key_server), &app).await;
    assert_eq!(elsewhere.connections_seen(), 0, "nobody follows a redirect");
}
