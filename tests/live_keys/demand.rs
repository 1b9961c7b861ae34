//! New and unknown keys: fetched when a token asks for them, and no more often than that.

use super::*;

#[tokio::test]
async fn the_first_request_after_a_start_finds_the_keys() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let server = KeyServer::with(&[&idp]).await;
    let gate = Tollgate::start(one_provider(&idp, &server.url(), rarely(), &app)).await;
    assert_eq!(ask(&gate, &idp).await.status, 200);
    assert_eq!(ask(&gate, &another_key(&idp)).await.status, 401);
    let request = server.server.request(1).await;
    assert_eq!((request.method(), request.target()), ("GET", "/keys"));
    let metrics = gate.metrics().await;
    assert!((metrics.sum("tollgate_keys_usable", &[("provider", "idp")]) - 1.0).abs() < 0.1);
    assert!(metrics.sum("tollgate_keys_fetched_timestamp_seconds", &[("provider", "idp")]) > 1e9);
}

#[tokio::test]
async fn a_rotation_under_load_refuses_no_good_token_and_ends_those_of_the_removed_key() {
    let (app, staying) = (Upstream::echo().await, idp("id"));
    let (leaving, coming) = (another_key(&staying), another_key(&staying));
    let server = KeyServer::with(&[&staying, &leaving]).await;
    let gate = Arc::new(Tollgate::start(one_provider(&staying, &server.url(), rarely(), &app)).await);

    let old = leaving.sign(claims("ada"));
    assert_eq!(gate.get("/").bearer(&old).await.status, 200);
    let (stop, mut load) = (Arc::new(std::sync::atomic::AtomicBool::new(false)), Vec::new());
    for number in 0..4 {
        let client = gate.client(support::Protocol::Http1);
        let tokens: Vec<String> = (0..50).map(|n| staying.sign(claims(&format!("{number}-{n}")))).collect();
        let stop = Arc::clone(&stop);
        load.push(tokio::spawn(async move {
            let connection = client.connect().await;
            let mut sent = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let answer = connection.get("/").bearer(&tokens[sent % tokens.len()]).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                sent += 1;
            }
            sent
        }));
    }
    server.answer(key_set(&[&staying, &coming]));
    let new = gate.get("/").bearer(&coming.sign(claims("ada"))).await;
    assert_eq!(new.status, 200, "the first token of a new key waits for it: {}", new.text());
    assert_eq!(gate.get("/").bearer(&old).await.status, 401, "verified before, and remembered");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for task in load {
        assert!(task.await.unwrap() > 0);
    }
    let (before, refused) = (server.fetches(), gate.get("/").bearer(&old).await);
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").unwrap().contains("invalid_token"));
    assert!(
        (2..=3).contains(&before),
        "{before}: one at start, one for the new key, one for the old at most"
    );
}

#[tokio::test]
async fn many_tokens_of_one_new_key_cost_one_fetch() {
    let (app, old) = (Upstream::echo().await, idp("id"));
    let new = another_key(&old);
    let server = KeyServer::with(&[&old]).await;
    let gate = Tollgate::start(one_provider(&old, &server.url(), rarely(), &app)).await;
    assert_eq!(ask(&gate, &old).await.status, 200);
    server.answer(key_set(&[&old, &new]));
    let requests: Vec<_> =
        (0..40).map(|n| gate.get("/").bearer(&new.sign(claims(&n.to_string()))).spawn()).collect();
    for request in requests {
        assert_eq!(request.await.unwrap().status, 200);
    }
    assert_eq!(server.fetches(), 2);
    let refetches = gate.metrics().await.sum("tollgate_key_refetches_total", &[("provider", "idp")]);
    assert!((refetches - 1.0).abs() < 0.1, "{refetches}");
}

#[tokio::test]
async fn a_key_that_was_replaced_under_its_name_is_found() {
    let (app, old) = (Upstream::echo().await, idp("id"));
    let mut new = another_key(&old);
    new.kid.clone_from(&old.kid);
    let server = KeyServer::with(&[&old]).await;
    let gate = Tollgate::start(one_provider(&old, &server.url(), rarely(), &app)).await;
    assert_eq!(ask(&gate, &old).await.status, 200);
    server.answer(key_set(&[&new]));
    assert_eq!(ask(&gate, &new).await.status, 200);
    assert_eq!(ask(&gate, &old).await.status, 401);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_costs_one_fetch_per_cool_down() {
    const TASKS: usize = 8;
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let server = KeyServer::with(&[&idp]).await;
    let refresh = json!({ "every": "1d", "cooldown": "4s" });
    let gate = Tollgate::start(one_provider(&idp, &server.url(), refresh, &app)).await;
    let begun = tokio::time::Instant::now();
    let mut flood = Vec::new();
    for task in 0..TASKS {
        let client = gate.client(support::Protocol::Http1);
        let issuer = idp.issuer.clone();
        flood.push(tokio::spawn(async move {
            let connection = client.connect().await;
            for number in 0..10_000 / TASKS {
                let header = json!({ "alg": "ES256", "kid": format!("{task}-{number}") }).to_string();
                let mut payload = claims("eve");
                payload["iss"] = issuer.clone().into();
                let token = support::token(&header, &payload.to_string(), |_| vec![1; 64]);
                assert_eq!(connection.get("/").bearer(&token).await.status, 401);
            }
        }));
    }
    for task in flood {
        within("the flood's end", task).await.unwrap();
    }
    // After 0, 1, 3, 7, 11, … seconds.
    let seconds = begun.elapsed().as_secs_f64();
    let most = 1
        + [0.0, 1.0, 3.0].iter().filter(|at| seconds >= **at).count()
        + usize::try_from((begun.elapsed().as_secs() + 1) / 4).unwrap();
    assert!((2..=most).contains(&server.fetches()), "{} in {seconds} s", server.fetches());
    let metrics = gate.metrics().await;
    let refused = metrics.sum("tollgate_refusals_total", &[("reason", "unknown_key")]);
    assert!((refused - 10_000.0).abs() < 0.1, "{refused}");

    let new = another_key(&idp);
    server.answer(key_set(&[&idp, &new]));
    let before = tokio::time::Instant::now();
    until_status(&gate, &new, 200).await;
    // The flood's last fetch may have come just before the key did: one cool-down, and what a busy machine adds.
    assert!(before.elapsed() < Duration::from_millis(5_500), "{:?}", before.elapsed());
    assert_eq!(ask(&gate, &idp).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inspection_fetches_keys_and_keeps_none() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let server = KeyServer::with(&[&idp]).await;
    let home = one_provider(&idp, &server.url(), rarely(), &app).write();
    let inspect = |token: String| {
        let output = home.command(["token", "inspect", "--config", "gateway.yaml", &token]).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (good, bad) = (idp.sign(claims("ada")), another_key(&idp).sign(claims("ada")));
    let (taken, shown) = tokio::task::block_in_place(|| inspect(good.clone()));
    assert!(taken && shown.contains("provider idp: accepted"), "{shown}");
    let (taken, shown) = tokio::task::block_in_place(|| inspect(bad));
    assert!(!taken && shown.contains("unknown_key"), "{shown}");
    assert!(!home.path("data").exists(), "nothing was kept");
    server.answer(Reply::new(500, ""));
    let (taken, shown) = tokio::task::block_in_place(|| inspect(good));
    assert!(!taken && shown.contains("keys_unavailable"), "{shown}");
}
