//! The running program as the recorded site: profile A's settings, its users, and its protected view as a route.

use std::future::IntoFuture as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tollgate::base::UnixTime;
use tollgate::store::{Missing, NewUser, OwnUsers as _, PasswordHash, Sqlite, UserRows as _};

use crate::case::{Case, Golden, Lifetimes, Step};
use crate::support::{Home, Protocol, RawConnection, Tollgate, config};

/// Where the recorded site has its protected view.
pub(crate) const PROTECTED: &str = "/api/whoami/";

const DATABASE: &str = "data/tollgate.db";

/// Which gateway a case is played against.
#[derive(Default)]
pub(crate) struct Gateways {
    /// For all cases that change neither users nor lifetimes. It ends with this value.
    shared: Mutex<Option<Arc<Tollgate>>>,
}

/// A request, its fields spelled as the case spells them.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
}

/// One case's own way to a gateway.
pub(crate) struct Wire {
    runtime: Runtime,
    gateway: Arc<Tollgate>,
    protocol: Protocol,
    /// HTTP/1.1 is written and read by hand, so that both sides are seen as they are.
    connection: Option<RawConnection>,
}

impl Gateways {
    pub(crate) fn wire(&self, golden: &Golden, case: &Case, protocol: Protocol) -> Wire {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let changes_users = case.steps.iter().any(|step| matches!(step, Step::Admin { .. }));
        let gateway = if changes_users || case.lifetimes.is_some() {
            Arc::new(runtime.block_on(start(golden, case.lifetimes)))
        } else {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            let start = || Arc::new(runtime.block_on(start(golden, None)));
            Arc::clone(shared.get_or_insert_with(start))
        };
        Wire { runtime, gateway, protocol, connection: None }
    }
}

async fn start(golden: &Golden, lifetimes: Option<Lifetimes>) -> Tollgate {
    let lifetimes = lifetimes.unwrap_or(Lifetimes { access: 300, refresh: 86_400 });
    let home: Home = config()
        .env("SIMPLEJWT_SIGNING_KEY", &golden.test_keys.hs256_secret)
        .set(
            "issuer",
            json!({
                "compatibility": "simplejwt",
                "store": format!("sqlite://{DATABASE}"),
                "signing_key": "${SIMPLEJWT_SIGNING_KEY}",
                "access_token_lifetime": format!("{}s", lifetimes.access),
                "refresh_token_lifetime": format!("{}s", lifetimes.refresh),
                "rotate_refresh_tokens": true,
                "blacklist_after_rotation": true,
            }),
        )
        .set(
            "providers.local",
            json!({ "issuer": "any", "keys": { "own": true }, "required_claims": ["jti"] }),
        )
        .set("upstreams.echo", json!({ "builtin": "echo" }))
        .push_route(json!({
            "match": { "path": PROTECTED },
            "auth": { "providers": ["local"] },
            "identity": { "headers": { "X-User-Id": { "claim": "user_id" } } },
            "upstream": "echo",
        }))
        .into();
    let store = Sqlite::open(&home.path(DATABASE), Missing::Create).await.expect("a new database");
    for user in &golden.users {
        let id = add(&store, &user.username, &user.password).await;
        assert_eq!(id, user.id.to_string());
        if !user.is_active {
            store.set_active(&user.username, false).await.expect("a known user");
        }
    }
    Tollgate::start(home).await
}

async fn add(store: &Sqlite, username: &str, password: &str) -> String {
    let new = NewUser {
        username: username.to_owned(),
        email: String::new(),
        password: hash(password),
        roles: String::new(),
    };
    store.add_user(&new, UnixTime(0)).await.expect("a new user").to_string()
}

/// A good hash of the least cost: what a real one costs is no matter of these cases.
fn hash(password: &str) -> PasswordHash {
    let params = Params::new(8, 1, 1, None).expect("argon2's smallest parameters");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password(password.as_bytes()).expect("a hash");
    PasswordHash::from_stored(hash.to_string())
}

impl Wire {
    /// Sends a request and waits for its answer.
    pub(crate) fn send(&mut self, sent: &Sent) -> Response<Bytes> {
        match self.protocol {
            Protocol::Http1 => self.send_http1(sent),
            Protocol::Http2 => self.send_http2(sent),
        }
    }

    fn send_http1(&mut self, sent: &Sent) -> Response<Bytes> {
        let connection = self.connection.take();
        let answer = self.runtime.block_on(async {
            let mut connection = match connection {
                Some(connection) => connection,
                None => self.gateway.raw().await,
            };
            connection.send(sent.bytes()).await;
            let answer = match sent.method.as_str() {
                "HEAD" => connection.answer_to_head().await,
                _ => connection.answer().await,
            };
            self.connection = Some(connection);
            answer.expect("an answer")
        });
        let mut response = Response::new(Bytes::copy_from_slice(&answer.body));
        *response.status_mut() = answer.status().try_into().expect("a status");
        for (name, value) in &answer.fields {
            let name = HeaderName::try_from(name).expect("the name of a field");
            response.headers_mut().append(name, HeaderValue::from_str(value).expect("a field's value"));
        }
        response
    }

    fn send_http2(&self, sent: &Sent) -> Response<Bytes> {
        let method = Method::try_from(sent.method.as_str()).expect("a method");
        let mut request = self.gateway.client(Protocol::Http2).request(method, &sent.path);
        for (name, value) in &sent.fields {
            request = request.header(name, value);
        }
        let answer = self.runtime.block_on(request.body(sent.body.clone()).into_future());
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response
    }

    /// Lets time pass: what is waited for is the expiry of a token.
    pub(crate) fn wait(&self, duration: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(duration).await });
    }

    /// An act on the table of users, and what it returns.
    pub(crate) fn admin(&self, act: &[Value]) -> Value {
        let words: Vec<&str> = act.iter().map(|word| word.as_str().expect("a word")).collect();
        self.runtime.block_on(async {
            let database = self.gateway.home.path(DATABASE);
            let store = Sqlite::open(&database, Missing::Refuse).await.expect("the gateway's database");
            let count = |done: bool| json!(u8::from(done));
            match words[..] {
                ["deactivate", user] => count(store.set_active(user, false).await.expect("the store")),
                ["activate", user] => count(store.set_active(user, true).await.expect("the store")),
                ["setpw", user, password] => {
                    json!(store.set_password(user, &hash(password)).await.expect("the store"))
                }
                ["adduser", user, password] => {
                    let id = add(&store, user, password).await;
                    json!(id.parse::<u64>().expect("a number"))
                }
                ["deluser", user] => count(store.remove_user(user).await.expect("the store")),
                // Nobody has logged in before, so there is nothing to clear.
                ["clearlastlogin", _] => json!(1),
                ["lastlogin", user] => {
                    let user = store.user_by_name(user).await.expect("the store").expect("a known user");
                    json!(user.last_login.map(|time| time.0))
                }
                _ => panic!("unknown act {act:?}"),
            }
        })
    }
}

/// The program's time, as a duration since 1970.
#[expect(clippy::disallowed_methods, reason = "expiries are waited for to less than a second")]
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time of our age")
}

impl Sent {
    /// As HTTP/1.1 writes it.
    fn bytes(&self) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: localhost\r\n", self.method, self.path);
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        format!("{text}\r\n{}", self.body)
    }
}
