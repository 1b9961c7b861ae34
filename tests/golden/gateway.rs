//! The running program as the recorded site: a profile's settings, its users, and before its protected view a route.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Executor as _, Row as _, SqliteConnection};
use tokio::runtime::Runtime;
use tollgate::base::UnixTime;
use tollgate::store::{NewUser, PasswordHash, Store, UserAttributes};

use crate::case::{Golden, Lifetimes};
use crate::place::Place;
use crate::profile::Profile;
use crate::support::{Client, Home, Protocol, Reply, Tollgate, Upstream, config};
use crate::wire::PROTECTED;

/// The database of a site whose place the gateway takes.
const SITE: &str = "site.db";

/// Where the users live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Users {
    /// In the gateway's own table.
    Own,
    /// In the tables of the site, to which refresh tokens are mirrored with their texts.
    OfTheSite,
}

/// User names by id, as the application behind the gateway knows them.
type Names = Arc<Mutex<HashMap<String, String>>>;

/// A gateway and the application behind it.
pub(crate) struct Gate {
    gateway: Tollgate,
    place: Place,
    names: Names,
    _application: Upstream,
    /// The application's, which outlives each case.
    _runtime: Runtime,
}

impl Gate {
    pub(crate) fn start(
        golden: &Golden,
        profile: Profile,
        lifetimes: Lifetimes,
        users: Users,
        place: Place,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let names = Names::default();
        let (gateway, application) =
            runtime.block_on(start(golden, profile, (lifetimes, users), &place, &names));
        Self { gateway, place, names, _application: application, _runtime: runtime }
    }

    pub(crate) fn client(&self, protocol: Protocol) -> Client {
        self.gateway.client(protocol)
    }

    /// An act on the table of users, and what it returns.
    pub(crate) async fn admin(&self, act: &[Value]) -> Value {
        if act[0] == "outstanding" {
            return self.outstanding(act[1].as_str().expect("a jti")).await;
        }
        let words: Vec<&str> = act.iter().map(|word| word.as_str().expect("a word")).collect();
        let store = self.place.open(&self.gateway.home).await;
        let count = |done: bool| json!(u8::from(done));
        let user = async |name| store.user_by_name(name).await.expect("the store").expect("a known user");
        match words[..] {
            ["deactivate", user] => count(store.set_active(user, false).await.expect("the store")),
            ["activate", user] => count(store.set_active(user, true).await.expect("the store")),
            ["setpw", user, password] => {
                json!(store.set_password(user, &hash(password)).await.expect("the store"))
            }
            ["sethash", user, encoded] => {
                let encoded = PasswordHash::from_stored(encoded.to_owned());
                count(store.set_password(user, &encoded).await.expect("the store"))
            }
            ["pwhash", name] => json!(user(name).await.password.expect("a hash").as_stored()),
            ["adduser", user, password] => {
                let id = add(&*store, user, password).await;
                self.names.lock().unwrap().insert(id.clone(), user.to_owned());
                json!(id.parse::<u64>().expect("a number"))
            }
            ["deluser", user] => count(store.remove_user(user).await.expect("the store")),
            ["clearlastlogin", name] => {
                user(name).await;
                self.place.forget_login(&self.gateway.home, name).await;
                json!(1)
            }
            ["lastlogin", name] => json!(user(name).await.last_login.map(|time| time.0)),
            _ => panic!("unknown act {act:?}"),
        }
    }
}

impl Gate {
    /// The site's row of a refresh token.
    async fn outstanding(&self, jti: &str) -> Value {
        let options = SqliteConnectOptions::new().filename(self.gateway.home.path(SITE));
        let mut site = SqliteConnection::connect_with(&options).await.expect("the site's database");
        let row = sqlx::query(
            "SELECT o.user_id, o.token, b.id IS NOT NULL AS blacklisted, \
                    unixepoch(o.expires_at) AS expires_at, unixepoch(o.created_at) AS created_at \
               FROM token_blacklist_outstandingtoken o \
               LEFT JOIN token_blacklist_blacklistedtoken b ON b.token_id = o.id WHERE o.jti = ?",
        );
        let row = row.bind(jti).fetch_optional(&mut site).await.expect("the site's tables");
        row.map_or(Value::Null, |row| {
            json!({
                "user_id": row.get::<Option<i64>, _>("user_id"),
                "token": row.get::<String, _>("token"),
                "blacklisted": row.get::<bool, _>("blacklisted"),
                "expires_at": row.get::<i64, _>("expires_at"),
                "created_at": row.get::<i64, _>("created_at"),
            })
        })
    }
}

/// The tables of a site, with the users.
async fn make_site(home: &Home, golden: &Golden) {
    let options = SqliteConnectOptions::new().filename(home.path(SITE)).create_if_missing(true);
    let mut site = SqliteConnection::connect_with(&options).await.expect("a new database");
    site.execute(include_str!("../data/simplejwt/site.sql")).await.expect("the site's tables");
    for user in &golden.users {
        let insert = sqlx::query(
            "INSERT INTO auth_user (id, password, is_superuser, username, last_name, email, is_staff, is_active, \
                                    date_joined, first_name) VALUES (?, ?, 0, ?, '', '', 0, ?, '2025-01-01', '')",
        );
        // As Django writes argon2's.
        let password = format!("argon2{}", hash(&user.password).as_stored());
        let insert = insert.bind(user.id).bind(password).bind(&user.username).bind(user.is_active);
        insert.execute(&mut site).await.expect("a new user");
    }
}

async fn start(
    golden: &Golden,
    profile: Profile,
    (lifetimes, users): (Lifetimes, Users),
    place: &Place,
    names: &Names,
) -> (Tollgate, Upstream) {
    let application = application(Arc::clone(names)).await;
    let mut issuer = profile.issuer(lifetimes);
    issuer["compatibility"] = json!("simplejwt");
    issuer["store"] = json!(place.url());
    if users == Users::OfTheSite {
        issuer["users"] = json!({ "django": {
            "database": format!("sqlite://{SITE}"),
            "token_blacklist": { "mirror": { "token_text": true } },
        } });
    }
    let [_, _, user_claim] = profile.usual_claims();
    let mut auth = json!({ "providers": ["local"], "user_check": { "max_age": "0s" } });
    if let Some(token_from) = profile.token_from() {
        auth["token_from"] = token_from;
    }
    let home: Home = config()
        .env("SIMPLEJWT_SIGNING_KEY", profile.signing_key(&golden.test_keys))
        .env("SIMPLEJWT_VERIFYING_KEY", &golden.test_keys.rs256_public_pem)
        .set("issuer", issuer)
        .set("providers.local", profile.provider())
        .push_route(json!({
            "match": { "path": PROTECTED },
            "auth": auth,
            "identity": { "headers": { "X-User-Id": { "claim": user_claim } } },
            "upstream": application.url(),
        }))
        .into();
    let store = place.open(&home).await;
    if users == Users::OfTheSite {
        make_site(&home, golden).await;
    }
    for user in &golden.users {
        let id = add(&*store, &user.username, &user.password).await;
        assert_eq!(id, user.id.to_string());
        if !user.is_active {
            store.set_active(&user.username, false).await.expect("a known user");
        }
        names.lock().unwrap().insert(id, user.username.clone());
    }
    (Tollgate::start(home).await, application)
}

/// The recorded site's own view, which believes the gateway's header.
async fn application(names: Names) -> Upstream {
    Upstream::start(move |request| {
        let id = request.header("x-user-id").expect("the gateway tells the user");
        let username = names.lock().unwrap().get(id).cloned();
        let id: u64 = id.parse().expect("a number");
        Reply::json(json!({ "user_id": id, "username": username }))
            .field("Allow", "GET, HEAD, OPTIONS")
            .field("Vary", "Accept")
    })
    .await
}

async fn add(store: &dyn Store, username: &str, password: &str) -> String {
    let new = NewUser {
        username: username.to_owned(),
        password: hash(password),
        attributes: UserAttributes::default(),
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
