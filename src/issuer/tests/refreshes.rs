//! What a refresh token gives, once, and to whom.

use super::*;

#[tokio::test]
async fn a_refresh_tells_what_the_user_is_now() {
    let site = Site::start().await;
    let (_, refresh) = site.login().await;
    site.database().await.execute("UPDATE users SET roles = 'staff admin'").await.unwrap();
    let answer = site.refresh(&refresh).await;
    assert_eq!((answer.status, answer.outcome), (StatusCode::OK, Outcome::Refreshed));
    assert_eq!(answer.headers["cache-control"], "no-store");
    let access = segment(&text(&answer.body, "access"), 1);
    assert_eq!(access["scope"], "staff admin");
    assert_eq!(access["sid"], segment(&refresh, 1)["sid"], "the session goes on");
}

#[tokio::test]
async fn in_simplejwts_manner_it_repeats_what_the_token_says() {
    let site = Site::simplejwt().await;
    let (_, refresh) = site.login().await;
    site.database().await.execute("UPDATE users SET roles = 'staff admin'").await.unwrap();
    let answer = site.refresh(&refresh).await;
    assert_eq!(segment(&text(&answer.body, "access"), 1)["scope"], "staff");
    assert_eq!(answer.headers.get("cache-control"), None);
    assert_eq!(segment(&refresh, 0), json!({"alg": "ES256", "typ": "JWT"}));
}

#[tokio::test]
async fn in_simplejwts_manner_a_rotated_token_is_refused_and_its_successor_is_good() {
    let site = Site::simplejwt().await;
    let (_, first) = site.login().await;
    let second = text(&site.refresh(&first).await.body, "refresh");
    let reuse = site.refresh(&first).await;
    assert_eq!((reuse.status, &reuse.body), (StatusCode::UNAUTHORIZED, &refused("Token is blacklisted")));
    assert_eq!(reuse.outcome, Outcome::RefusedToken);
    assert_eq!(reuse.headers["www-authenticate"], "Bearer realm=\"api\"");
    assert_eq!(site.refresh(&second).await.status, 200);
}

#[tokio::test]
async fn of_many_refreshes_with_one_token_exactly_one_wins() {
    let refusing = |config: &mut config::Issuer| config.sessions = SessionRules::SIMPLEJWT;
    for site in [Site::with(refusing).await, Site::simplejwt().await] {
        let (_, refresh) = site.login().await;
        let answers = join_all((0..32).map(|_| site.refresh(&refresh))).await;
        let winners: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(winners.len(), 1);
        let losers = answers.iter().filter(|answer| answer.body == refused("Token is blacklisted"));
        assert_eq!(losers.count(), 31);
        assert_eq!(site.refresh(&text(&winners[0].body, "refresh")).await.status, 200);
    }
}

#[tokio::test]
async fn without_rotation_a_token_serves_until_it_is_blacklisted() {
    let site = Site::with(|config| config.rotate_refresh_tokens = false).await;
    let (_, refresh) = site.login().await;
    for _ in 0..3 {
        let answer = site.refresh(&refresh).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body.get("refresh").is_none());
    }
    assert_eq!(site.blacklist(&refresh).await.status, 200);
    assert_eq!(site.refresh(&refresh).await.body, refused("Token is blacklisted"));
    assert_eq!(site.verify(&refresh).await.body, json!({"non_field_errors": ["Token is blacklisted"]}));
}

#[tokio::test]
async fn a_token_of_our_key_that_the_store_never_gave_out_is_refused() {
    let site = Site::start().await;
    let (_, refresh) = site.login().await;
    let mut claims = segment(&refresh, 1);
    claims["user_id"] = json!("2");
    let same_jti = site.forge(claims.clone());
    claims["jti"] = json!("another");
    let unknown_jti = site.forge(claims);
    for token in [same_jti, unknown_jti] {
        assert_eq!(site.refresh(&token).await.body, refused("Token is invalid"));
        assert_eq!(site.blacklist(&token).await.body, refused("Token is invalid"));
    }
    assert_eq!(site.refresh(&refresh).await.status, 200, "the true one is still good");
}

#[tokio::test]
async fn a_token_goes_with_its_session() {
    let site = Site::start().await;
    let (_, refresh) = site.login().await;
    site.database().await.execute("UPDATE sessions SET ended_at = 1").await.unwrap();
    assert_eq!(site.refresh(&refresh).await.body, refused("Token is blacklisted"));
    let (_, refresh) = site.login().await;
    site.database().await.execute("DELETE FROM sessions").await.unwrap();
    assert_eq!(site.refresh(&refresh).await.body, refused("Token is invalid"));
}

#[tokio::test]
async fn a_user_who_is_kept_out_gets_no_token() {
    let site = Site::start().await;
    let (_, refresh) = site.login().await;
    site.issuer.own_users().set_active("ada", false).await.unwrap();
    let answer = site.refresh(&refresh).await;
    assert_eq!((answer.status, answer.outcome), (StatusCode::UNAUTHORIZED, Outcome::RefusedAccount));
    assert_eq!(answer.body, json!({"detail": "No active account found for the given token."}));
    let answer = site.login_with("ada", PASSWORD).await;
    assert_eq!((answer.status, answer.outcome), (StatusCode::UNAUTHORIZED, Outcome::RefusedCredentials));
    site.issuer.own_users().set_active("ada", true).await.unwrap();
    assert_eq!(site.refresh(&refresh).await.status, 200, "a refusal costs no token");
}

#[tokio::test]
async fn a_token_ends_with_the_second_of_its_expiry() {
    let site = Site::start().await;
    let (access, refresh) = site.login().await;
    for (path, field, token, lifetime) in [
        ("/api/token/verify/", "token", &access, 300),
        ("/api/token/refresh/", "refresh", &refresh, 86_400),
        ("/api/token/blacklist/", "refresh", &refresh, 86_400),
    ] {
        let answer = site.post_at(path, json!({field: token}), UnixTime(NOW.0 + lifetime)).await;
        assert_eq!(answer.body, refused("Token is expired"), "{path}");
    }
    let last = UnixTime(NOW.0 + 86_399);
    let answer = site.post_at("/api/token/refresh/", json!({"refresh": refresh}), last).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn tokens_for_others_are_invalid() {
    let site = Site::start().await;
    let (access, refresh) = site.login().await;
    assert_eq!(site.refresh(&access).await.body, refused("Token has wrong type"));
    for (claim, value) in [("iss", json!("https://evil.example.test")), ("aud", json!("another"))] {
        let mut claims = segment(&refresh, 1);
        claims[claim] = value;
        let token = site.forge(claims);
        assert_eq!(site.verify(&token).await.body, refused("Token is invalid"), "{claim}");
        assert_eq!(site.refresh(&token).await.body, refused("Token is invalid"), "{claim}");
    }
}

#[tokio::test]
async fn in_simplejwts_manner_a_user_claim_may_be_anything() {
    let site = Site::with(|config| {
        config.compatibility = Compatibility::SimpleJwt;
        config.issuer = None;
        config.audiences.clear();
    })
    .await;
    for (user_id, status) in [
        (json!("1"), 200),
        (json!(1), 200),
        (json!(null), 200),
        (json!(""), 200),
        (json!("999"), 401),
        (json!("one"), 401),
        (json!(["1"]), 401),
        (json!(1.5), 401),
        (json!(true), 401),
        (json!("9".repeat(100)), 401),
    ] {
        let token = site.forge(json!({
            "token_type": "refresh", "exp": NOW.0 + 9, "jti": mint::new_id(), "user_id": user_id
        }));
        assert_eq!(site.refresh(&token).await.status, status, "{user_id}");
    }
    let without_jti = site.forge(json!({"token_type": "refresh", "exp": NOW.0 + 9, "user_id": "1"}));
    assert_eq!(site.refresh(&without_jti).await.body, refused("Token has no id"));
}

#[tokio::test]
async fn sliding_tokens_are_renewed_until_their_end_and_not_once_they_are_blacklisted() {
    let site = Site::with(|config| {
        config.compatibility = Compatibility::SimpleJwt;
        config.paths.sliding_obtain = Some("/api/sliding/".to_owned());
        config.paths.sliding_refresh = Some("/api/sliding/refresh/".to_owned());
        config.form.sliding.refresh_lifetime = Duration::from_secs(400);
    })
    .await;
    let login = json!({"username": "ada", "password": PASSWORD});
    let token = text(&site.post_at("/api/sliding/", login, NOW).await.body, "token");
    let renew = async |token: &str, seconds: i64| {
        let now = UnixTime(NOW.0 + seconds);
        site.post_at("/api/sliding/refresh/", json!({"token": token}), now).await
    };
    let answer = renew(&token, 200).await;
    let second = text(&answer.body, "token");
    let (old, new) = (segment(&token, 1), segment(&second, 1));
    assert_eq!((&old["jti"], &old["refresh_exp"]), (&new["jti"], &new["refresh_exp"]));
    assert_eq!(new["exp"], NOW.0 + 500);
    assert_eq!(renew(&token, 300).await.body, refused("Token is expired"));
    assert_eq!(renew(&second, 399).await.status, 200);
    assert_eq!(renew(&second, 400).await.body, refused("Token 'refresh_exp' claim has expired"));
    for odd in [json!("soon"), json!(null), json!([])] {
        let mut claims = new.clone();
        claims["refresh_exp"] = odd;
        assert_eq!(renew(&site.forge(claims), 200).await.body, refused("Token is invalid"));
    }
}
