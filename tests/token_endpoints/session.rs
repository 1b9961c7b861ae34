//! A session from its beginning to its end, and what its tokens say.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use crate::support::{Config, Home, Protocol, now};
use crate::{
    PASSWORD, Pair, Site, USER, assert_refused, blacklist, credentials, login, pair, refresh, verify,
};

/// Of the harness's issuer.
const ISSUER: &str = "https://gateway.example.test";

#[tokio::test]
async fn a_session_goes_from_login_to_logout() {
    let site = Site::start_with(refusing, Home::generate_key).await;
    for (round, protocol) in [(1, Protocol::Http1), (2, Protocol::Http2)] {
        let connection = site.gate.client(protocol).connect().await;
        let answer = connection.post("/api/token/").json(credentials(USER, PASSWORD)).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let first = pair(&answer);

        let answer = connection.get("/orders").bearer(&first.access).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let seen = site.app.request(2 * round - 1).await;
        assert_eq!(seen.header("x-user-id"), Some("1"));
        assert_eq!(seen.header("x-user-name"), Some(USER));
        assert_eq!(seen.header("x-auth-issuer"), Some(ISSUER));
        assert_eq!(seen.header("authorization"), None);

        let answer = refresh(&connection, &first.refresh).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let second = pair(&answer);
        assert_eq!(connection.get("/orders").bearer(&second.access).await.status, 200);
        assert_eq!(verify(&connection, &second.access).await.json(), json!({}));
        assert_eq!(verify(&connection, &second.refresh).await.json(), json!({}));

        let answer = refresh(&connection, &first.refresh).await;
        assert_refused(&answer, 401, "token_not_valid");
        assert_eq!(answer.json()["detail"], "Token is blacklisted");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"api\""));
        assert_eq!(verify(&connection, &first.refresh).await.status, 400);

        let answer = blacklist(&connection, &second.refresh).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({})));
        for refused in
            [refresh(&connection, &second.refresh).await, blacklist(&connection, &second.refresh).await]
        {
            assert_refused(&refused, 401, "token_not_valid");
        }
    }
    let requests = "tollgate_token_endpoint_requests_total";
    for (endpoint, outcome, count) in [
        ("obtain", "issued", 2.0),
        ("refresh", "refreshed", 2.0),
        ("refresh", "refused_token", 4.0),
        ("verify", "verified", 4.0),
        ("blacklist", "blacklisted", 2.0),
    ] {
        let labels = [("endpoint", endpoint), ("outcome", outcome)];
        site.gate.metrics_until(outcome, |metrics| metrics.sum(requests, &labels) >= count).await;
    }
    let line = site.gate.log_line("the login", |line| line["outcome"] == "issued").await;
    assert_eq!((&line["subject"], &line["status"]), (&json!("1"), &json!(200)), "{line}");
    assert_eq!(line["path"], "/api/token/");
}

#[tokio::test]
async fn a_token_is_good_for_its_own_purpose_only() {
    let site = Site::start().await;
    let connection = site.connect().await;
    let Pair { access, refresh: refresh_token } = login(&connection).await;
    let answer = connection.get("/orders").bearer(&refresh_token).await;
    assert_refused(&answer, 401, "invalid_token");
    assert!(answer.header("www-authenticate").is_some_and(|challenge| challenge.contains("invalid_token")));
    assert_eq!(site.app.requests_seen(), 0, "nothing came through");
    assert_refused(&refresh(&connection, &access).await, 401, "token_not_valid");
    assert_refused(&blacklist(&connection, &access).await, 401, "token_not_valid");
    // Neither refusal used the refresh token up.
    pair(&refresh(&connection, &refresh_token).await);
}

#[tokio::test]
async fn a_logout_ends_its_own_session_and_no_other() {
    let site = Site::start().await;
    let connection = site.connect().await;
    let (phone, laptop) = (login(&connection).await, login(&connection).await);
    assert_ne!(claims(&phone.access)["sid"], claims(&laptop.access)["sid"]);
    assert_eq!(blacklist(&connection, &phone.refresh).await.status, 200);
    assert_eq!(refresh(&connection, &phone.refresh).await.status, 401);
    pair(&refresh(&connection, &laptop.refresh).await);
}

#[tokio::test]
async fn a_logout_ends_all_refresh_tokens_of_its_session() {
    let file = |file: Config| file.set("issuer.blacklist_after_rotation", json!(false));
    let site = Site::start_with(file, Home::generate_key).await;
    let connection = site.connect().await;
    let first = login(&connection).await;
    let second = pair(&refresh(&connection, &first.refresh).await);
    let third = pair(&refresh(&connection, &first.refresh).await);
    assert_eq!(blacklist(&connection, &second.refresh).await.status, 200);
    for token in [&first.refresh, &second.refresh, &third.refresh] {
        assert_refused(&refresh(&connection, token).await, 401, "token_not_valid");
    }
}

#[tokio::test]
async fn tokens_say_who_and_in_which_session() {
    let site = Site::start().await;
    let connection = site.connect().await;
    let before = now();
    let first = login(&connection).await;
    let second = pair(&refresh(&connection, &first.refresh).await);
    let after = now();

    let mut ids = HashSet::new();
    let sid = claims(&first.access)["sid"].clone();
    assert!(sid.as_str().is_some_and(|sid| sid.len() == 32), "{sid}");
    for (token, token_type, lifetime) in [
        (&first.access, "access", 300),
        (&first.refresh, "refresh", 86_400),
        (&second.access, "access", 300),
        (&second.refresh, "refresh", 86_400),
    ] {
        let header = decode_header(token).unwrap();
        assert_eq!((header.typ.as_deref(), header.alg), (Some("JWT"), jsonwebtoken::Algorithm::ES256));
        assert!(header.kid.is_some());
        let claims = claims(token);
        let names: HashSet<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
        let wanted = ["token_type", "exp", "iat", "jti", "user_id", "sub", "sid", "username", "iss"];
        assert_eq!(names, HashSet::from(wanted));
        assert_eq!(claims["token_type"], token_type);
        assert_eq!((&claims["sub"], &claims["user_id"]), (&json!("1"), &json!("1")));
        assert_eq!((&claims["username"], &claims["iss"]), (&json!(USER), &json!(ISSUER)));
        assert_eq!(claims["sid"], sid, "all tokens of a session name it");
        let issued_at = claims["iat"].as_u64().unwrap();
        assert!((before..=after).contains(&issued_at));
        assert_eq!(claims["exp"].as_u64().unwrap() - issued_at, lifetime);
        assert!(ids.insert(claims["jti"].as_str().unwrap().to_owned()), "each token has a jti of its own");
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "here it is the verifier that somebody else wrote")]
async fn another_library_verifies_with_the_published_keys() {
    let site = Site::start().await;
    let connection = site.connect().await;
    let token = login(&connection).await.access;
    let answer = connection.get("/.well-known/jwks.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/jwk-set+json"));
    let published = answer.json();
    let members: HashSet<&str> =
        published["keys"][0].as_object().unwrap().keys().map(String::as_str).collect();
    assert!(members.contains("kid") && !members.contains("d"), "public, and found by its name: {published}");
    assert_eq!((&published["keys"][0]["kty"], &published["keys"][0]["alg"]), (&json!("EC"), &json!("ES256")));

    let keys: JwkSet = serde_json::from_value(published).unwrap();
    let kid = decode_header(&token).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(keys.find(&kid).expect("the key that signed")).unwrap();
    let mut validation = Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "iss", "sub"]);
    let read = decode::<Value>(&token, &key, &validation).unwrap();
    assert_eq!(read.claims["username"], USER);
    let spoilt = format!("{}A", &token[..token.len() - 1]);
    let spoilt = if spoilt == token { format!("{}Q", &token[..token.len() - 1]) } else { spoilt };
    assert!(decode::<Value>(&spoilt, &key, &validation).is_err());
}

#[tokio::test]
async fn a_shared_secret_is_never_published() {
    let secret = "a-shared-secret-of-more-than-thirty-two-bytes";
    let file = |file: Config| {
        file.env("SIGNING_SECRET", secret)
            .set("issuer.algorithm", json!("HS256"))
            .set("issuer.signing_key", json!("${SIGNING_SECRET}"))
    };
    let site = Site::start_with(file, |_| ()).await;
    let connection = site.connect().await;
    let token = login(&connection).await.access;
    assert_eq!(connection.get("/").bearer(&token).await.status, 200);
    assert_eq!(decode_header(&token).unwrap().alg, jsonwebtoken::Algorithm::HS256);
    assert_eq!(connection.get("/.well-known/jwks.json").await.json(), json!({ "keys": [] }));
    assert!(!site.gate.lines().iter().any(|line| line.contains(secret)));
}

#[tokio::test]
async fn where_a_reused_token_is_refused_exactly_one_of_many_refreshes_wins() {
    let site = Site::start_with(refusing, Home::generate_key).await;
    let mut connections = vec![site.gate.client(Protocol::Http2).connect().await];
    for _ in 0..7 {
        connections.push(site.connect().await);
    }
    let token = login(&connections[0]).await.refresh;
    let answers = join_all((0..64).map(|index| refresh(&connections[index % 8], &token))).await;
    let (winners, losers): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(winners.len(), 1);
    for loser in losers {
        assert_refused(loser, 401, "token_not_valid");
    }
    // The losers took nothing from the winner.
    pair(&refresh(&connections[0], &pair(winners[0]).refresh).await);
}

#[tokio::test]
async fn nobody_learns_who_has_an_account() {
    let file = |file: Config| file.set("issuer.throttle", json!("off"));
    let site = Site::start_with(file, Home::generate_key).await;
    let connection = site.connect().await;
    let mut answers = Vec::new();
    // The least time of each: noise only ever adds. It is settled once the three are alike.
    let [mut wrong, mut unknown, mut one_hash] = [Duration::MAX; 3];
    for _ in 0..100 {
        for (username, password, least) in
            [(USER, "not-the-password", &mut wrong), ("nobody", PASSWORD, &mut unknown)]
        {
            let start = Instant::now();
            let mut answer = connection.post("/api/token/").json(credentials(username, password)).await;
            *least = start.elapsed().min(*least);
            assert_eq!(answer.status, 401);
            for differing in ["date", "x-request-id"] {
                answer.headers.remove(differing);
            }
            answers.push((answer.headers, answer.body));
        }
        one_hash = time_of_one_hash().min(one_hash);
        let like = |one: Duration, other: Duration| one.abs_diff(other) < one.min(other) / 4;
        if answers.len() > 8 && like(wrong, unknown) && wrong > one_hash / 2 && unknown > one_hash / 2 {
            assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
            return;
        }
    }
    panic!("a wrong password takes {wrong:?}, an unknown user {unknown:?}, one hash {one_hash:?}");
}

/// With OWASP's parameters, which the gateway uses.
fn time_of_one_hash() -> Duration {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(19_456, 2, 1, None).unwrap());
    let start = Instant::now();
    argon2.hash_password(PASSWORD.as_bytes()).unwrap();
    start.elapsed()
}

#[tokio::test]
async fn sessions_keys_and_users_outlive_a_crash_and_a_restart() {
    let mut site = Site::start_with(refusing, Home::generate_key).await;
    let connection = site.connect().await;
    let mut tokens = login(&connection).await;
    let keys = connection.get("/.well-known/jwks.json").await.json();
    for signal in ["KILL", "TERM"] {
        let ended = login(&site.connect().await).await;
        assert_eq!(blacklist(&site.connect().await, &ended.refresh).await.status, 200);
        site.gate.restart(signal).await;
        let connection = site.connect().await;
        assert_eq!(connection.get("/.well-known/jwks.json").await.json(), keys, "{signal}");
        assert_eq!(connection.get("/").bearer(&tokens.access).await.status, 200, "{signal}");
        let old = tokens.refresh.clone();
        tokens = pair(&refresh(&connection, &old).await);
        assert_eq!(refresh(&connection, &old).await.status, 401, "{signal}");
        assert_eq!(refresh(&connection, &ended.refresh).await.status, 401, "what was ended stays so");
        login(&connection).await;
    }
}

/// As SimpleJWT treats a token that was exchanged.
fn refusing(file: Config) -> Config {
    file.set("issuer.on_reuse", json!("refuse")).set("issuer.reuse_grace", json!("0s"))
}

pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
