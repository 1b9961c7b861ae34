//! Bad input, and a database or a machine that can't keep up.

use super::*;

#[tokio::test]
async fn a_locked_database_is_503_in_time_and_recovers() {
    let site = Site::start().await;
    let (_, refresh) = site.login().await;
    let mut stranger = site.database().await;
    stranger.execute("BEGIN IMMEDIATE").await.unwrap();
    let start = Instant::now();
    let answers =
        tokio::join!(site.login_with("ada", PASSWORD), site.refresh(&refresh), site.blacklist(&refresh));
    for answer in [answers.0, answers.1, answers.2] {
        assert_eq!(
            (answer.status, answer.outcome),
            (StatusCode::SERVICE_UNAVAILABLE, Outcome::StoreUnavailable)
        );
        assert_eq!(answer.body["code"], "store_unavailable");
        assert_eq!(answer.headers["retry-after"], "1");
        assert!(answer.cause.expect("a cause").contains("tollgate.db"));
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    stranger.execute("ROLLBACK").await.unwrap();
    assert_eq!(site.refresh(&refresh).await.status, 200, "the token was not spent");
}

#[tokio::test]
async fn a_database_that_is_gone_is_503_everywhere_and_recovers() {
    let site = Site::start().await;
    let (access, refresh) = site.login().await;
    let away = site.folder.path().join("away");
    std::fs::rename(site.data(), &away).unwrap();
    for answer in [
        site.login_with("ada", PASSWORD).await,
        site.login_with("nobody", "x").await,
        site.refresh(&refresh).await,
        site.verify(&access).await,
        site.blacklist(&refresh).await,
    ] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        let cause = answer.cause.expect("a cause");
        assert!(!cause.contains(PASSWORD) && !cause.contains(&refresh), "{cause}");
    }
    std::fs::rename(&away, site.data()).unwrap();
    assert_eq!(site.refresh(&refresh).await.status, 200);
    assert_eq!(site.login_with("ada", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_storm_of_logins_is_turned_away_and_those_within_are_served() {
    let site = Site::start().await;
    let answers = join_all((0..120).map(|_| site.login_with("ada", PASSWORD))).await;
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    let busy: Vec<_> = answers.iter().filter(|answer| answer.outcome == Outcome::Busy).collect();
    assert_eq!(served + busy.len(), 120);
    assert!(!busy.is_empty() && served >= 66, "{served} served");
    for answer in busy {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            (&answer.headers["retry-after"], &answer.body["code"]),
            (&HeaderValue::from_static("1"), &json!("login_busy"))
        );
    }
}

#[tokio::test]
async fn an_unknown_name_costs_as_much_time_as_a_wrong_password() {
    let site = Site::start().await;
    let mut fastest = [Duration::MAX; 2];
    let alike = |[wrong, unknown]: [Duration; 2]| unknown * 2 > wrong && wrong * 2 > unknown;
    // The fastest of more, while other programs keep one of them waiting.
    for round in 0..40 {
        if round >= 5 && alike(fastest) {
            break;
        }
        for (fastest, name) in fastest.iter_mut().zip(["ada", "nobody"]) {
            let start = Instant::now();
            assert_eq!(site.login_with(name, "wrong").await.status, 401);
            *fastest = start.elapsed().min(*fastest);
        }
    }
    assert!(alike(fastest), "{fastest:?}");
}

#[tokio::test]
async fn hashing_never_holds_up_the_runtimes_own_thread() {
    let site = Site::start().await;
    let login = site.login_with("ada", PASSWORD);
    tokio::pin!(login);
    let mut turns = 0;
    loop {
        tokio::select! {
            biased;
            answer = &mut login => break assert_eq!(answer.status, 200),
            () = tokio::task::yield_now() => turns += 1,
        }
    }
    assert!(turns > 10, "{turns}");
}

#[tokio::test]
async fn bad_input_is_told_and_never_a_server_error() {
    let site = Site::start().await;
    let long = "x".repeat(60_000);
    for (media_type, body, status) in [
        ("application/json", &b"{\"username\":\"\xff\"}"[..], 400),
        ("application/json", b"null", 400),
        ("application/json", b"{\"username\":\"a\\u0000\",\"password\":\"\\ud800\"}", 400),
        ("application/json", b"{\"username\":\"a\",\"username\":null,\"password\":\"b\"}", 400),
        ("application/json", format!("{{\"username\":\"{long}\",\"password\":\"b\"}}").as_bytes(), 401),
        ("application/json", format!("{{\"username\":\"b\",\"password\":\"{long}\"}}").as_bytes(), 401),
        ("application/json", "[".repeat(60_000).as_bytes(), 400),
        ("application/x-www-form-urlencoded", b"username=%00&password=%ff", 400),
        ("application/x-www-form-urlencoded", b"%ff=1&&&=", 400),
        ("multipart/form-data", b"--x", 400),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n--x--", 400),
        ("text/\u{e9}", b"x", 415),
        ("", b"x", 415),
    ] {
        let request = Request::post("/api/token/").header("content-type", media_type.as_bytes());
        let request = request.body(Bytes::copy_from_slice(body)).unwrap();
        let answer = site.send_at("/api/token/", request, NOW).await;
        assert_eq!(answer.status, status, "{media_type} {:?}: {}", body.get(..60), answer.body);
    }
}

#[tokio::test]
async fn a_refusal_never_repeats_a_secret() {
    let site = Site::start().await;
    for body in [
        json!({"username": "ada", "password": "s3cret-wrong"}),
        json!({"username": null, "password": "s3cret-wrong"}),
        json!({"username": "ada", "password": "s3cret\0wrong"}),
    ] {
        let request = Request::post("/api/token/").header("content-type", "application/json");
        let request = request.body(body.to_string().into()).unwrap();
        let Err(refused) = site.issuer.grant(Action::Obtain, &request, Ipv4Addr::LOCALHOST.into(), NOW).await
        else {
            panic!("{body}")
        };
        assert!(!format!("{refused:?} {}", refused.body()).contains("s3cret"), "{refused:?}");
    }
}

#[test]
fn no_body_is_a_server_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let site = runtime.block_on(Site::simplejwt());
    let types = prop_oneof![
        Just("application/json"),
        Just("application/x-www-form-urlencoded"),
        Just("multipart/form-data; boundary=B"),
    ];
    let bodies = "(--B|\r\n\r\n|name=\"token\"|Content-Disposition: form-data; |[{}:,\\[\\]]|\"token\"|token=|\"|\
                  \\\\|ey[.]|[.]|&|%|[a-z0-9]|\u{e9}|\0){0,20}";
    proptest!(|(media_type in types, body in bodies)| {
        let request = Request::post("/").header("content-type", media_type).body(body.into()).unwrap();
        let answer = runtime.block_on(site.send_at("/api/token/verify/", request, NOW));
        prop_assert!(answer.status.is_client_error(), "{}", answer.status);
    });
}

#[tokio::test]
async fn no_token_is_judged_before_it_is_known_which_were_ended() {
    let mut site = Site::start().await;
    let (_, refresh) = site.login().await;
    let unread = Shared { revocations: Revocations::new(false), ..shared() };
    site.issuer = Issuer::open(&config(&site.folder), false, 1, NOW, unread).await.unwrap();
    for path in ["refresh", "verify", "blacklist", "logout", "logout/all"] {
        let body = json!({"refresh": refresh, "token": refresh});
        let answer = site.post_at(&format!("/api/token/{path}/"), body, NOW).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (503_u16.try_into().unwrap(), &json!("revocations_unavailable")),
            "{path}"
        );
        assert_eq!(answer.headers["retry-after"], "1");
    }
    assert_eq!(site.login_with("ada", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_login_that_can_t_be_noted_ends_no_session() {
    let site = Site::with(|config| config.sessions.most_per_user = Some(1)).await;
    let (_, refresh) = site.login().await;
    let mut database = site.database().await;
    let refuse =
        "CREATE TRIGGER refuse BEFORE UPDATE OF last_login ON users BEGIN SELECT RAISE(ABORT, 'no'); END";
    database.execute(refuse).await.unwrap();
    assert_eq!(site.login_with("ada", PASSWORD).await.status, 503);
    assert_eq!(site.refresh(&refresh).await.status, 200);
}
