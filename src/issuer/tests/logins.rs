//! What a login gives, and what its endpoint is called.

use super::*;
use crate::store::AttributesChanged;

#[tokio::test]
async fn a_login_gives_tokens_that_name_user_session_and_key() {
    let site = Site::start().await;
    let answer = site.login_with("ada", PASSWORD).await;
    assert_eq!((answer.status, answer.outcome), (StatusCode::OK, Outcome::Issued));
    assert_eq!(answer.subject.as_deref(), Some("1"));
    assert_eq!(answer.headers["cache-control"], "no-store");
    let (access, refresh) = (text(&answer.body, "access"), text(&answer.body, "refresh"));
    for (token, kind, lifetime) in [(&access, "access", 300), (&refresh, "refresh", 86_400)] {
        let claims = segment(token, 1);
        let names: Vec<_> = claims.as_object().unwrap().keys().cloned().collect();
        assert_eq!(
            names,
            ["token_type", "exp", "iat", "jti", "user_id", "sub", "sid", "username", "scope", "aud", "iss"]
        );
        assert_eq!(claims["token_type"], kind, "not what `issuer.claims` says");
        assert_eq!((claims["exp"].as_i64(), claims["iat"].as_i64()), (Some(NOW.0 + lifetime), Some(NOW.0)));
        assert_eq!((&claims["user_id"], &claims["sub"]), (&json!("1"), &json!("1")));
        assert_eq!((&claims["username"], &claims["scope"]), (&json!("ada"), &json!("staff")));
        assert_eq!((&claims["aud"], &claims["iss"]), (&json!("api"), &json!("https://gate.example.test")));
        let token = parse(token.as_bytes(), &Limits::default()).unwrap();
        assert!(token.kid().is_some());
        verify(&token, &site.issuer.key_set(), AlgorithmSet::EMPTY.with(Algorithm::ES256)).unwrap();
    }
    assert_eq!(segment(&access, 1)["sid"], segment(&refresh, 1)["sid"]);
    assert_ne!(segment(&access, 1)["jti"], segment(&refresh, 1)["jti"]);
    assert_eq!(
        site.issuer.own_users().user_by_name("ada").await.unwrap().expect("ada").last_login,
        Some(NOW)
    );
}

#[tokio::test]
async fn an_answer_may_be_awaited_on_any_thread() {
    fn is_send<T: Send>(_: &T) {}
    let site = Site::start().await;
    let endpoint = site.issuer.endpoint("/api/token/").expect("an endpoint");
    is_send(&site.issuer.answer(endpoint, Request::default(), Ipv4Addr::LOCALHOST.into(), NOW));
}

#[tokio::test]
async fn a_path_without_its_last_slash_is_served() {
    let site = Site::start().await;
    let (access, _) = site.login().await;
    let answer = site.post_at("/api/token/verify", json!({"token": access}), NOW).await;
    assert_eq!((answer.status, answer.body), (StatusCode::OK, json!({})));
}

#[tokio::test]
async fn in_simplejwts_manner_it_is_redirected_with_its_query() {
    let site = Site::simplejwt().await;
    let request = Request::post("/api/token?a=%20b").body(Bytes::new()).unwrap();
    let answer = site.send_at("/api/token", request, NOW).await;
    assert_eq!(answer.status, StatusCode::MOVED_PERMANENTLY);
    assert_eq!(answer.headers["location"], "/api/token/?a=%20b");
}

#[tokio::test]
async fn claims_have_the_names_that_the_site_gave_them() {
    for compatibility in [Compatibility::Tollgate, Compatibility::SimpleJwt] {
        let site = Site::with(|config| {
            config.compatibility = compatibility;
            config.form.user_id_claim = "who".to_owned();
            config.form.token_type_claim = "kind".to_owned();
            config.form.jti_claim = "id".to_owned();
            config.sessions.reuse_grace = Duration::ZERO;
            config.sessions.on_reuse = config::OnReuse::Refuse;
        })
        .await;
        let (access, refresh) = site.login().await;
        for (token, kind) in [(&access, "access"), (&refresh, "refresh")] {
            let claims = segment(token, 1);
            assert_eq!((&claims["who"], &claims["kind"]), (&json!("1"), &json!(kind)));
            assert!(claims["id"].is_string() && claims["jti"].is_null() && claims["user_id"].is_null());
        }
        assert_eq!(site.refresh(&access).await.body, refused("Token has wrong type"));
        let answer = site.refresh(&refresh).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let next = text(&answer.body, "refresh");
        assert_ne!(segment(&next, 1)["id"], segment(&refresh, 1)["id"]);
        assert_eq!(site.refresh(&refresh).await.body, refused("Token is blacklisted"));
        assert_eq!(site.blacklist(&next).await.status, 200);
        assert_eq!(site.refresh(&next).await.body, refused("Token is blacklisted"));
    }
}

#[tokio::test]
async fn a_claim_that_is_null_is_left_out_and_claims_that_fill_a_token_make_none() {
    let site = Site::start().await;
    let claims = async |claims: Value| {
        let Value::Object(claims) = claims else { panic!("no object") };
        let attributes = UserAttributes { claims, ..UserAttributes::default() };
        let change = Arc::new(move |all: &mut UserAttributes| {
            *all = attributes.clone();
            Ok(())
        });
        let changed = site.issuer.own_users().change_attributes("ada", change).await.unwrap();
        assert_eq!(changed, AttributesChanged::Done);
        site.login_with("ada", PASSWORD).await
    };
    let answer = claims(json!({"plan": null, "team": "north"})).await;
    let access = answer.body["access"].as_str().unwrap();
    let token = parse(access.as_bytes(), &Limits::default()).unwrap();
    let members = token.claims().members();
    assert_eq!((members.get("plan"), &members["team"]), (None, &json!("north")));

    let answer = claims(json!({"team": "x".repeat(13_000)})).await;
    assert_eq!((answer.status.as_u16(), &answer.body["code"]), (503, &json!("claims_unavailable")));
    assert!(answer.cause.is_some_and(|cause| cause.contains("bytes")), "the log tells why");
    assert_eq!(claims(json!({"team": "x".repeat(9_000)})).await.status, 200);
}
