//! The library as a transport: no network, and a clock that is set by hand.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tollgate::base::{Algorithm, Secret, UnixTime};
use tollgate::config::{self, Compatibility, TokenPaths};
use tollgate::issuer::Issuer;
use tollgate::store::{NewUser, PasswordHash};

use crate::case::{Golden, Lifetimes, User};
use crate::transport::Transport;

/// Some second; cases only count from it.
const START: Duration = Duration::from_secs(1_750_000_000);

pub(crate) struct Library {
    runtime: Runtime,
    issuer: Issuer,
    now: Duration,
    _folder: TempDir,
}

impl Library {
    pub(crate) fn start(golden: &Golden, lifetimes: Option<Lifetimes>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let lifetimes = lifetimes.unwrap_or(Lifetimes { access: 300, refresh: 86_400 });
        let config = profile_a(&folder, &golden.test_keys.hs256_secret, lifetimes);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let issuer = runtime.block_on(async {
            let issuer =
                Issuer::open(&config, true, 1, UnixTime(0)).await.expect("an issuer with a new database");
            for (user, password) in golden.users.iter().zip(hashes(&issuer, &golden.users).await) {
                let new = NewUser {
                    username: user.username.clone(),
                    email: String::new(),
                    password: password.clone(),
                    roles: String::new(),
                };
                let id = issuer.store().add_user(&new, UnixTime(0)).await.expect("a new user");
                assert_eq!(id.as_str(), user.id.to_string());
                issuer.store().set_active(&user.username, user.is_active).await.expect("a known user");
            }
            issuer
        });
        Self { runtime, issuer, now: START, _folder: folder }
    }

    fn hash(&self, password: &str) -> PasswordHash {
        self.runtime.block_on(self.issuer.passwords().hash(Secret::new(password))).expect("a hash")
    }
}

/// The same for all cases, since hashing is slow on purpose.
async fn hashes(issuer: &Issuer, users: &[User]) -> &'static [PasswordHash] {
    static HASHES: OnceLock<Vec<PasswordHash>> = OnceLock::new();
    if let Some(known) = HASHES.get() {
        return known;
    }
    let mut hashes = Vec::new();
    for user in users {
        let password = Secret::new(user.password.as_str());
        hashes.push(issuer.passwords().hash(password).await.expect("a hash"));
    }
    HASHES.get_or_init(|| hashes)
}

fn profile_a(folder: &TempDir, secret: &str, lifetimes: Lifetimes) -> config::Issuer {
    config::Issuer {
        compatibility: Compatibility::SimpleJwt,
        store: folder.path().join("tollgate.db"),
        paths: TokenPaths {
            obtain: "/api/token/".to_owned(),
            refresh: "/api/token/refresh/".to_owned(),
            verify: "/api/token/verify/".to_owned(),
            blacklist: "/api/token/blacklist/".to_owned(),
        },
        access_token_lifetime: Duration::from_secs(lifetimes.access),
        refresh_token_lifetime: Duration::from_secs(lifetimes.refresh),
        rotate_refresh_tokens: true,
        blacklist_after_rotation: true,
        algorithm: Algorithm::HS256,
        signing_key: Some(Secret::new(secret)),
        key_ring: folder.path().join("keys"),
        claims: Vec::new(),
        issuer: None,
        audiences: Vec::new(),
        leeway: Duration::ZERO,
    }
}

impl Transport for Library {
    fn reaches(&self, path: &str) -> bool {
        self.issuer.endpoint(path).is_some()
    }

    fn send(&mut self, request: Request<Bytes>) -> Response<Bytes> {
        let endpoint = self.issuer.endpoint(request.uri().path()).expect("a path that is reached");
        let now = UnixTime(i64::try_from(self.now.as_secs()).expect("a time of our age"));
        self.runtime.block_on(self.issuer.answer(endpoint, request, now)).response
    }

    fn now(&self) -> Duration {
        self.now
    }

    fn wait(&mut self, duration: Duration) {
        self.now += duration;
    }

    fn admin(&mut self, act: &[Value]) -> Value {
        let words: Vec<&str> = act.iter().map(|word| word.as_str().expect("a word")).collect();
        let store = self.issuer.store();
        let count = |done: bool| json!(u8::from(done));
        match words[..] {
            ["deactivate", user] => {
                count(self.runtime.block_on(store.set_active(user, false)).expect("the store"))
            }
            ["activate", user] => {
                count(self.runtime.block_on(store.set_active(user, true)).expect("the store"))
            }
            ["setpw", user, password] => {
                let hash = self.hash(password);
                json!(self.runtime.block_on(store.set_password(user, &hash)).expect("the store"))
            }
            ["adduser", user, password] => {
                let new = NewUser {
                    username: user.to_owned(),
                    email: String::new(),
                    password: self.hash(password),
                    roles: String::new(),
                };
                let id = self.runtime.block_on(store.add_user(&new, UnixTime(0))).expect("a new user");
                json!(id.as_str().parse::<u64>().expect("a number"))
            }
            ["deluser", user] => count(self.runtime.block_on(store.remove_user(user)).expect("the store")),
            // Nobody has logged in before, so there is nothing to clear.
            ["clearlastlogin", _] => json!(1),
            ["lastlogin", user] => {
                let user = self.runtime.block_on(store.user_by_name(user)).expect("the store");
                json!(user.expect("a known user").last_login.map(|time| time.0))
            }
            _ => panic!("unknown act {act:?}"),
        }
    }
}
