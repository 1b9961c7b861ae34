mod sessions;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use http::StatusCode;
use proptest::prelude::*;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Executor, SqliteConnection};

use super::*;
use crate::base::{Algorithm, AlgorithmSet, Secret};
use crate::config::{ClaimSource, TokenForm};
use crate::jwt::{HeaderForm, Limits, parse, verify};
use crate::store::{NewUser, UserAttributes};

const NOW: UnixTime = UnixTime(1_750_000_000);
const PASSWORD: &str = "correct-horse-battery";

/// An issuer with its own folder and the user `ada`.
struct Site {
    folder: tempfile::TempDir,
    issuer: Issuer,
}

/// An answer, read.
struct Read {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
    outcome: Outcome,
    subject: Option<String>,
    cause: Option<String>,
}

fn config(folder: &tempfile::TempDir) -> config::Issuer {
    config::Issuer {
        compatibility: Compatibility::Tollgate,
        store: config::Database::Sqlite(folder.path().join("data/tollgate.db")),
        users: config::Users::Own,
        paths: TokenPaths {
            obtain: Some("/api/token/".to_owned()),
            refresh: Some("/api/token/refresh/".to_owned()),
            verify: Some("/api/token/verify/".to_owned()),
            blacklist: Some("/api/token/blacklist/".to_owned()),
            logout: Some("/api/token/logout/".to_owned()),
            logout_all: Some("/api/token/logout/all/".to_owned()),
            ..TokenPaths::default()
        },
        access_token_lifetime: Duration::from_secs(300),
        refresh_token_lifetime: Duration::from_secs(86_400),
        rotate_refresh_tokens: true,
        blacklist_after_rotation: true,
        sessions: SessionRules::TOLLGATE,
        algorithm: Algorithm::ES256,
        signing_key: None,
        verifying_key: None,
        hook: None,
        update_last_login: true,
        form: TokenForm::usual(),
        key_ring: folder.path().join("keys"),
        claims: vec![
            ("username".to_owned(), ClaimSource::Username),
            ("scope".to_owned(), ClaimSource::Roles),
            ("token_type".to_owned(), ClaimSource::Constant("admin".to_owned())),
        ],
        throttle: config::Throttle::default(),
        exchange: Vec::new(),
        issuer: Some("https://gate.example.test".to_owned()),
        audiences: vec!["api".to_owned()],
        leeway: Duration::ZERO,
        longest_leeway: Duration::ZERO,
    }
}

fn shared() -> Shared {
    Shared { revocations: Revocations::new(true), metrics: Arc::new(Metrics::new()) }
}

impl Site {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn simplejwt() -> Self {
        Self::with(|config| {
            config.compatibility = Compatibility::SimpleJwt;
            config.sessions = SessionRules::SIMPLEJWT;
        })
        .await
    }

    async fn with(change: impl FnOnce(&mut config::Issuer)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&folder);
        change(&mut config);
        let issuer = Issuer::open(&config, true, 2, NOW, shared()).await.expect("an issuer");
        let password = issuer.passwords().hash(Secret::new(PASSWORD)).await.unwrap();
        let attributes = UserAttributes { roles: "staff".to_owned(), ..UserAttributes::default() };
        let ada = NewUser { username: "ada".to_owned(), password, attributes };
        issuer.own_users().add_user(&ada, NOW).await.unwrap();
        Self { folder, issuer }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    async fn database(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.data().join("tollgate.db"));
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    async fn send_at(&self, path: &str, request: Request<Bytes>, now: UnixTime) -> Read {
        let endpoint = self.issuer.endpoint(path).expect("an endpoint");
        let answer = self.issuer.answer(endpoint, request, Ipv4Addr::LOCALHOST.into(), now).await;
        let (head, body) = answer.response.into_parts();
        Read {
            status: head.status,
            headers: head.headers,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            outcome: answer.outcome,
            subject: answer.subject,
            cause: answer.cause.map(|cause| format!("{cause} {cause:?}")),
        }
    }

    async fn post_at(&self, path: &str, body: Value, now: UnixTime) -> Read {
        let request = Request::post(path).header("content-type", "application/json");
        self.send_at(path, request.body(body.to_string().into()).unwrap(), now).await
    }

    async fn login_with(&self, username: &str, password: &str) -> Read {
        self.post_at("/api/token/", json!({"username": username, "password": password}), NOW).await
    }

    /// Access and refresh token of a new login.
    async fn login(&self) -> (String, String) {
        let answer = self.login_with("ada", PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        (text(&answer.body, "access"), text(&answer.body, "refresh"))
    }

    async fn refresh(&self, token: &str) -> Read {
        self.post_at("/api/token/refresh/", json!({"refresh": token}), NOW).await
    }

    async fn verify(&self, token: &str) -> Read {
        self.post_at("/api/token/verify/", json!({"token": token}), NOW).await
    }

    async fn blacklist(&self, token: &str) -> Read {
        self.post_at("/api/token/blacklist/", json!({"refresh": token}), NOW).await
    }

    /// A token of our own key with these claims.
    fn forge(&self, claims: Value) -> String {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        self.issuer.keys.signing.sign(&claims, HeaderForm::WithKid).unwrap()
    }
}

fn text(body: &Value, member: &str) -> String {
    body[member].as_str().unwrap_or_else(|| panic!("no {member} in {body}")).to_owned()
}

fn segment(token: &str, index: usize) -> Value {
    let segment = token.split('.').nth(index).expect("a segment");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segment).unwrap()).unwrap()
}

fn refused(message: &str) -> Value {
    json!({"detail": message, "code": "token_not_valid"})
}

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
    for _ in 0..5 {
        for (fastest, name) in fastest.iter_mut().zip(["ada", "nobody"]) {
            let start = Instant::now();
            assert_eq!(site.login_with(name, "wrong").await.status, 401);
            *fastest = start.elapsed().min(*fastest);
        }
    }
    assert!(fastest[1] * 2 > fastest[0], "{fastest:?}");
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

#[tokio::test]
async fn the_jwk_set_holds_public_keys_and_no_secret() {
    let site = Site::start().await;
    let jwks: Value = serde_json::from_slice(&site.issuer.jwks()).unwrap();
    let [key] = &jwks["keys"].as_array().unwrap()[..] else { panic!("one key: {jwks}") };
    assert_eq!((&key["kty"], &key["alg"], &key["use"]), (&json!("EC"), &json!("ES256"), &json!("sig")));
    assert_eq!(key.get("d"), None);
    let site = Site::with(|config| {
        config.algorithm = Algorithm::HS256;
        config.signing_key = Some(Secret::new([b's'; 32]));
    })
    .await;
    assert_eq!(site.issuer.jwks(), "{\"keys\":[]}");
    let (access, _) = site.login().await;
    assert_eq!(site.verify(&access).await.status, 200);
}

#[tokio::test]
async fn tokens_of_an_older_key_stay_good_while_its_file_is_there() {
    let site = Site::start().await;
    let (access, refresh) = site.login().await;
    let config = config(&site.folder);
    store::KeyRing::generate(&config.key_ring, Algorithm::ES256, UnixTime(NOW.0 + 1)).unwrap();
    let site =
        Site { issuer: Issuer::open(&config, false, 1, NOW, shared()).await.unwrap(), folder: site.folder };
    assert_eq!(site.verify(&access).await.status, 200);
    let renewed = text(&site.refresh(&refresh).await.body, "access");
    assert_ne!(segment(&renewed, 0)["kid"], segment(&access, 0)["kid"]);
}

#[tokio::test]
async fn outside_development_what_is_missing_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let Err(error) = Issuer::open(&config, false, 1, NOW, shared()).await else { panic!("there is no key") };
    assert!(error.to_string().contains("`tollgate key generate`"), "{error}");
    store::KeyRing::generate(&config.key_ring, Algorithm::ES256, NOW).unwrap();
    let Err(error) = Issuer::open(&config, false, 1, NOW, shared()).await else {
        panic!("there is no database")
    };
    assert!(error.to_string().contains("`tollgate user add`"), "{error}");
    Issuer::open(&config, true, 1, NOW, shared()).await.expect("both are there now");
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
async fn a_verifying_key_of_another_pair_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let private = || crate::jwt::SigningKey::generate(Algorithm::ES256).unwrap();
    let (ours, other) = (private(), private());
    let mut config = config(&folder);
    config.signing_key = ours.to_pem();
    // A private key is no public one either.
    config.verifying_key = other.to_pem();
    let error = Issuer::open(&config, true, 1, NOW, shared()).await.expect_err("another key");
    assert!(matches!(error, OpenError::VerificationKey(KeyError::PrivateKey)), "{error}");
    config.verifying_key = Some(Secret::new(OTHER_PUBLIC_KEY));
    let error = Issuer::open(&config, true, 1, NOW, shared()).await.expect_err("another key");
    assert!(matches!(error, OpenError::OtherVerifyingKey), "{error}");
}

/// RFC 7517's example key, appendix A.1, in PEM.
const OTHER_PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMKBCTNIcKUSDii11ySs3526iDZ8A
iTo7Tu6KPAqv7D7gS2XpJFbZiItSs3m9+9Ue6GnvHw/GW2ZZaVtszggXIw==
-----END PUBLIC KEY-----
";

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
