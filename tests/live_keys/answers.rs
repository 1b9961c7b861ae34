//! What a server may answer, and who it may be.

use super::*;

#[tokio::test]
async fn only_a_key_set_with_a_usable_key_takes_the_place_of_keys() {
    let (app, idp, elsewhere) = (Upstream::echo().await, idp("id"), Upstream::echo().await);
    let server = KeyServer::with(&[&idp]).await;
    let gate = Tollgate::start(one_provider(&idp, &server.url(), often(), &app)).await;
    for (outcome, reply) in bad_replies(&elsewhere) {
        let before = fetches_so_far(&gate, outcome).await;
        let good = fetches_so_far(&gate, "ok").await;
        server.answer(reply);
        until_fetched(&gate, "idp", outcome, before + 1.0).await;
        assert_eq!(ask(&gate, &idp).await.status, 200, "{outcome}");
        server.answer(key_set(&[&idp]));
        until_fetched(&gate, "idp", "ok", good + 1.0).await;
    }
    assert_eq!(elsewhere.connections_seen(), 0, "nobody follows a redirect");
}

fn endless_head() -> Step {
    Step::send(&format!("HTTP/1.1 200 OK\r\nX-Much: {}", "x".repeat(0x100_000)))
}

#[tokio::test]
async fn a_server_that_hangs_drips_or_breaks_off_holds_nobody_up() {
    let (app, good) = (Upstream::echo().await, idp("good"));
    let key_server = KeyServer::with(&[&good]).await;
    let never = Arc::new(Notify::new());
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n";
    let drip = std::iter::once(Step::Read)
        .chain([Step::send(head)])
        .chain((0..40).flat_map(|_| [Step::send(" "), Step::Await(Arc::clone(&never))]));
    let servers = [
        ("timeout", Upstream::scripted([Step::Stall]).await),
        ("timeout", Upstream::scripted([Step::Read, Step::Stall]).await),
        ("timeout", Upstream::scripted(drip.collect::<Vec<_>>()).await),
        ("broken", Upstream::scripted([Step::Read, Step::send(head), Step::send("{\"keys\"")]).await),
        ("broken", Upstream::scripted([Step::Read, Step::send("SSH-2.0-OpenSSH_9.9\r\n\r\n")]).await),
        ("broken", Upstream::scripted([Step::Read, endless_head(), Step::Stall]).await),
        ("too_large", Upstream::scripted([Step::Read, endless_body(), Step::Stall]).await),
    ];
    let dripping = tokio::spawn(async move {
        loop {
            never.notify_one();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let bad = servers.iter().enumerate().map(|(number, (outcome, server))| {
        let idp = idp(&format!("bad-{number}"));
        let provider = fetched(&idp, &format!("{}/keys", server.url()), often());
        (*outcome, idp, provider)
    });
    assert_no_keys_come(bad.collect(), (&good, &key_server), &app).await;
    dripping.abort();
}

#[tokio::test]
async fn one_broken_key_leaves_the_others_of_its_set_in_use() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let server = KeyServer::start(Reply::json(json!({ "keys": [
        { "kty": "AKP", "kid": "post-quantum", "alg": "ML-DSA-65", "pub": "AA" },
        { "kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB" },
        7,
        idp.jwk(),
    ] })))
    .await;
    let gate = Tollgate::start(one_provider(&idp, &server.url(), often(), &app)).await;
    assert_eq!(ask(&gate, &idp).await.status, 200);
    until_fetched(&gate, "idp", "ok", 4.0).await;
    let metrics = gate.metrics().await;
    assert!((metrics.sum("tollgate_keys_skipped", &[("provider", "idp")]) - 3.0).abs() < 0.1);
    assert_eq!(gate.lines().iter().filter(|line| line.contains("skipped a key")).count(), 3, "each once");
}

#[tokio::test]
async fn a_private_address_is_not_connected_to_unless_the_file_says_so() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let server = KeyServer::with(&[&idp]).await;
    for url in [server.url(), server.url().replace("127.0.0.1", "localhost")] {
        let mut provider = fetched(&idp, &url, often());
        provider["fetch"] = json!({ "allow_http": true });
        let gate = Tollgate::start(config().set("providers.idp", provider).route("/*", "idp", &app)).await;
        until_fetched(&gate, "idp", "forbidden", 1.0).await;
        assert_eq!(ask(&gate, &idp).await.status, 503);
    }
    assert_eq!(server.server.connections_seen(), 0);
}

#[tokio::test]
async fn an_unchanged_set_is_not_sent_again() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let keys = key_set(&[&idp]).field("ETag", "\"one\"");
    let server = Upstream::start(move |request: &Message| match request.header("if-none-match") {
        Some("\"one\"") => Reply::new(304, "").field("ETag", "\"one\""),
        _ => keys.clone(),
    })
    .await;
    let refresh = json!({ "every": "100ms", "cooldown": "100ms", "stale_if_error": "2s" });
    let url = format!("{}/keys", server.url());
    let gate = Tollgate::start(one_provider(&idp, &url, refresh, &app)).await;
    let token = idp.sign(claims("ada"));
    assert_eq!(gate.get("/").bearer(&token).await.status, 200);
    // Longer than keys count without being confirmed.
    until_fetched(&gate, "idp", "unchanged", 40.0).await;
    assert_eq!(gate.get("/").bearer(&token).await.status, 200);
    assert!((fetches_so_far(&gate, "ok").await - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn a_server_with_tls_needs_a_certificate_of_an_authority_that_is_trusted() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let keys = KeyServer::with(&[&idp]).await;
    // Another gateway is the provider's server.
    let server = Tollgate::start(config().open_route("/*", &keys.server)).await;
    let url = format!("https://localhost:{}/keys", server.address().port());
    let provider = |fetch: Value| {
        let mut provider = fetched(&idp, &url, often());
        provider["fetch"] = fetch;
        provider
    };
    let trusting = json!({ "allow_private_addresses": true, "ca": "ca.pem" });
    let gate = Tollgate::start(
        config()
            .file("ca.pem", server.home.authority_pem())
            .set("providers.trusting", provider(trusting))
            .set("providers.other", provider(json!({ "allow_private_addresses": true })))
            .route("/trusting", "trusting", &app)
            .route("/other", "other", &app),
    )
    .await;
    let token = idp.sign(claims("ada"));
    assert_eq!(gate.get("/trusting").bearer(&token).await.status, 200);
    until_fetched(&gate, "other", "tls", 1.0).await;
    assert_eq!(gate.get("/other").bearer(&token).await.status, 503);
}
