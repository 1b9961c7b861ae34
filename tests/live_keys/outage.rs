//! The server is gone: what its keys are good for, and for how long.

use super::*;

#[tokio::test]
async fn keys_outlive_the_server_that_they_came_from() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let server = KeyServer::with(&[&idp]).await;
    let gate = Tollgate::start(one_provider(&idp, &server.url(), often(), &app)).await;
    let old = idp.sign(claims("ada"));
    assert_eq!(gate.get("/").bearer(&old).await.status, 200);
    drop(server);
    until_fetched(&gate, "idp", "unreachable", 3.0).await;
    assert_eq!(gate.get("/").bearer(&old).await.status, 200);
    assert_eq!(ask(&gate, &idp).await.status, 200, "a token that nobody has seen");
    let warnings = gate.lines().iter().filter(|line| line.contains("can't fetch keys")).count();
    assert_eq!(warnings, 1, "once for each change of state");
}

#[tokio::test]
async fn a_provider_without_keys_is_503_and_concerns_nobody_else() {
    let (app, up, down) = (Upstream::echo().await, idp("up"), idp("down"));
    let server = KeyServer::with(&[&up]).await;
    let late = KeyServer::start(Reply::new(500, "")).await;
    let both = config()
        .set("providers.up", fetched(&up, &server.url(), rarely()))
        .set("providers.down", fetched(&down, &late.url(), often()))
        .push_route(json!({ "match": { "path": "/*" }, "auth": { "providers": ["up", "down"] }, "upstream": app.url() }));
    let gate = Tollgate::start(both).await;
    let answer = ask(&gate, &down).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!((answer.header("retry-after"), answer.header("www-authenticate")), (Some("1"), None));
    assert_eq!(ask(&gate, &up).await.status, 200);
    assert_eq!(gate.get("/").await.status, 401, "no token at all");
    late.answer(key_set(&[&down]));
    until_status(&gate, &down, 200).await;
}

#[tokio::test]
async fn a_gateway_is_ready_while_a_provider_s_server_is_down_from_the_start() {
    let (app, idp) = (Upstream::echo().await, idp("down"));
    // Nobody listens there any more.
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = one_provider(&idp, &format!("http://{nowhere}/keys"), often(), &app).issuer();
    let home: Home = file.into();
    home.generate_key();
    home.add_user("ada", "the-long-password-of-ada");
    let gate = Tollgate::start(home).await;
    until_fetched(&gate, "idp", "unreachable", 2.0).await;
    assert_eq!(gate.admin().get("/readyz").await.status, 200);
    assert!(gate.metrics().await.sum("tollgate_ready", &[]) >= 1.0);
    assert_eq!(ask(&gate, &idp).await.status, 503);
    assert_eq!(gate.admin().get("/readyz").await.status, 200, "nor does a token change that");
}

#[tokio::test]
async fn keys_that_are_too_old_count_no_more_even_for_remembered_tokens() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let server = KeyServer::with(&[&idp]).await;
    let refresh = json!({ "every": "100ms", "cooldown": "100ms", "stale_if_error": "2s" });
    let gate = Tollgate::start(one_provider(&idp, &server.url(), refresh, &app)).await;
    let token = idp.sign(claims("ada"));
    assert_eq!(gate.get("/").bearer(&token).await.status, 200);
    server.answer(Reply::new(500, ""));
    until_status(&gate, &idp, 503).await;
    assert_eq!(gate.get("/").bearer(&token).await.status, 503, "a remembered one");
    server.answer(key_set(&[&idp]));
    until_status(&gate, &idp, 200).await;
    assert_eq!(gate.get("/").bearer(&token).await.status, 200);
}

#[tokio::test]
async fn a_restart_while_the_server_is_down_still_serves() {
    let (app, idp, state) = (Upstream::echo().await, idp("id"), tempfile::tempdir().unwrap());
    let (removed, server) = (another_key(&idp), KeyServer::with(&[&idp]).await);
    server.answer(key_set(&[&idp, &removed]));
    let file = |url: &str, refresh: Value| {
        one_provider(&idp, url, refresh, &app).set("state.directory", state.path().to_str().unwrap().into())
    };
    let url = server.url();
    let gate = Tollgate::start(file(&url, often())).await;
    let token = idp.sign(claims("ada"));
    assert_eq!(gate.get("/").bearer(&token).await.status, 200);
    server.answer(key_set(&[&idp]));
    until_status(&gate, &removed, 401).await;
    drop(server);
    gate.stop().await;

    let gate = Tollgate::start(file(&url, often())).await;
    assert_eq!(gate.get("/").bearer(&token).await.status, 200, "{}", gate.lines().join("\n"));
    assert_eq!(ask(&gate, &removed).await.status, 401, "it was withdrawn before");
    until_fetched(&gate, "idp", "unreachable", 2.0).await;
    assert_eq!(ask(&gate, &idp).await.status, 200);
    gate.stop().await;

    // Keys of one URL are not those of another.
    let gate = Tollgate::start(file(&format!("{url}/others"), often())).await;
    assert_eq!(gate.get("/").bearer(&token).await.status, 503);
    gate.stop().await;

    // Their age runs on.
    let kept = state.path().join("keys-cache/idp.json");
    let mut text: Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
    text["fetched_at"] = (support::now() - 86_500).into();
    std::fs::write(&kept, text.to_string()).unwrap();
    let gate = Tollgate::start(file(&url, often())).await;
    assert_eq!(gate.get("/").bearer(&token).await.status, 503);
    gate.stop().await;

    // What a server may not send, a file may not hold.
    text["fetched_at"] = support::now().into();
    text["key_set"] = r#"{"keys":[{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr8"}]}"#.into();
    std::fs::write(&kept, text.to_string()).unwrap();
    let gate = Tollgate::start(file(&url, often())).await;
    assert_eq!(gate.get("/").bearer(&token).await.status, 503);
}
