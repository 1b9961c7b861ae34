mod adopted;
mod faults;
mod key_files;
mod logins;
mod refreshes;
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
        scheme: "Bearer".to_owned(),
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
