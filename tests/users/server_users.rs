//! Tollgate's own users in a database on a server.

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;
use tollgate::base::{Secret, UnixTime};
use tollgate::config::{self, Users as Places};
use tollgate::store::{
    HashedUsers, NewUser, OwnUsers as _, PasswordHash, Passwords, ServerUsers, StoreError, UserAttributes,
    UserRows as _, Users as _,
};

use crate::support::{DatabaseKind, DatabaseServer};

const NOW: UnixTime = UnixTime(1_800_000_000);

fn attributes() -> UserAttributes {
    UserAttributes {
        email: "ada@example.com".to_owned(),
        roles: "admin staff".to_owned(),
        scopes: "orders:read".to_owned(),
        claims: serde_json::Map::from_iter([("team".to_owned(), serde_json::json!(["Zoë's", 7]))]),
    }
}

fn new(username: &str) -> NewUser {
    NewUser {
        username: username.to_owned(),
        password: PasswordHash::from_stored("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$x".to_owned()),
        attributes: attributes(),
    }
}

/// The database as the reader of a `gateway.yaml` names it.
fn database(server: &DatabaseServer) -> config::Database {
    let file = format!("issuer: {{ users: {{ django: {{ database: '{}' }} }} }}", server.url());
    let config = config::read_text(&file, Path::new("gateway.yaml"), &|_| None).unwrap();
    let Some(Places::Django(users)) = config.issuer.map(|issuer| issuer.users) else { panic!("no users") };
    users.database
}

pub(crate) async fn on(kind: DatabaseKind) {
    let mut server = DatabaseServer::start(kind).await;
    let database = database(&server);
    // Two gateways that start at once.
    let (one, other) = tokio::join!(ServerUsers::open(&database), ServerUsers::open(&database));
    let (users, other) = (one.unwrap(), other.unwrap());

    let id = users.add_user(&new("ada"), NOW).await.unwrap();
    let ada = other.user_by_name("ada").await.unwrap().expect("what one adds the other finds");
    assert_eq!((&ada.id, UserAttributes::of(&ada)), (&id, attributes()));
    assert!(ada.active && ada.last_login.is_none());
    assert!(matches!(users.add_user(&new("ada"), NOW).await, Err(StoreError::Conflict)));
    let changed = UserAttributes { email: String::new(), scopes: "orders:write".to_owned(), ..attributes() };
    for _ in 0..2 {
        assert!(users.set_attributes("ada", &changed).await.unwrap(), "also where nothing changes");
    }
    assert_eq!(UserAttributes::of(&users.user_by_name("ada").await.unwrap().unwrap()), changed);
    let zoe = users.add_user(&new("Zoë 🦀"), NOW).await.unwrap();
    assert_eq!(users.user_by_id(zoe.as_str()).await.unwrap().expect("Zoë").username, "Zoë 🦀");
    for name in ["ADA", "ada ", "a\u{0}da", "' OR 1=1 --", ""] {
        assert!(users.user_by_name(name).await.unwrap().is_none(), "{name:?}");
        assert!(!users.set_active(name, false).await.unwrap(), "{name:?}");
        assert!(!users.set_attributes(name, &changed).await.unwrap(), "{name:?}");
        assert!(!users.remove_user(name).await.unwrap(), "{name:?}");
    }
    for id in ["x", "", "99999999999999999999", "1 OR 1=1"] {
        assert!(users.user_by_id(id).await.unwrap().is_none(), "{id:?}");
    }
    users.note_login(&id, NOW).await.unwrap();
    assert_eq!(users.user_by_id(id.as_str()).await.unwrap().unwrap().last_login, Some(NOW));

    let passwords = Arc::new(Passwords::new(Handle::current(), 2));
    let hash = passwords.hash(Secret::new("correct-horse")).await.unwrap();
    assert!(users.set_password("ada", &hash).await.unwrap());
    assert!(users.set_password("ada", &hash).await.unwrap(), "the same again is no other user");
    users.renew_hash(&id, &new("").password, &new("").password).await.unwrap();
    let stored = |user: Option<tollgate::store::User>| user.unwrap().password.unwrap();
    assert!(stored(users.user_by_name("ada").await.unwrap()) == hash, "changed meanwhile");
    let users = Arc::new(users);
    let log_in = HashedUsers::new(Arc::clone(&users) as _, passwords);
    let is_in = async |password: &'static str| {
        log_in.log_in("ada", Secret::new(password)).await.map(|user| user.is_some())
    };
    assert!(is_in("correct-horse").await.unwrap());
    assert!(!is_in("correct-hors").await.unwrap());
    assert!(users.set_active("ada", false).await.unwrap());
    assert!(!is_in("correct-horse").await.unwrap());
    assert!(users.set_active("ada", true).await.unwrap());

    server.stop();
    assert!(matches!(users.user_by_name("ada").await, Err(StoreError::Unavailable { .. })));
    server.run().await;
    assert!(is_in("correct-horse").await.unwrap(), "it is back");

    assert!(users.remove_user("ada").await.unwrap());
    assert!(users.user_by_id(id.as_str()).await.unwrap().is_none());
    assert_ne!(users.add_user(&new("ada"), NOW).await.unwrap(), id, "an id is never given again");
}
