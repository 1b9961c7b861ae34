//! Tollgate's own users, and what is known of others.

use std::sync::Arc;

use futures_util::future::{BoxFuture, join_all};
use serde_json::json;
use tokio::runtime::Handle;
use tollgate::base::Secret;
use tollgate::store::{
    Admission, AttributesChange, AttributesChanged, HashedUsers, PasswordHash, Passwords, Presence, Rotated,
    Store, StoreError, UserAttributes, UserId, Users as _,
};

use crate::support::DatabaseKind;
use crate::{Kind, NOW, attributes, log_in, new_user, rotation, token};

pub(crate) async fn all(kind: Option<DatabaseKind>) {
    let kind = Kind::start(kind).await;
    names_and_ids(&kind).await;
    changes(&kind).await;
    changes_at_once(&kind).await;
    presence(&kind).await;
    a_user_takes_its_sessions_with_it(&kind).await;
    known_users(&kind).await;
}

/// Of more users than one statement is about.
async fn presence(kind: &Kind) {
    let users = kind.place().open().await;
    let mut ids = Vec::new();
    for number in 0..75 {
        ids.push(users.add_user(&new_user(&format!("user{number}")), NOW).await.unwrap());
    }
    assert!(users.set_active("user7", false).await.unwrap());
    assert!(users.remove_user("user70").await.unwrap());
    let strangers = ["x", "", "99999999999999999999", "1 OR 1=1", "1\u{0}"].map(UserId::new);
    let asked = [&ids[..], &strangers].concat();
    let found = users.presence(&asked).await.unwrap();
    assert_eq!(found.len(), asked.len());
    for (id, presence) in found {
        let expected = match ids.iter().position(|known| *known == id) {
            Some(7) => Presence::KeptOut,
            None | Some(70) => Presence::Gone,
            Some(_) => Presence::LetIn,
        };
        assert_eq!(presence.unwrap(), expected, "{id}");
    }
    assert_eq!(users.presence(&[]).await.unwrap().len(), 0);
}

/// Names are compared byte by byte, whatever a server's collation, and what can be no name is nobody's.
async fn names_and_ids(kind: &Kind) {
    let place = kind.place();
    let [users, other] = place.two().await;
    let id = users.add_user(&new_user("ada"), NOW).await.unwrap();
    let ada = other.user_by_name("ada").await.unwrap().expect("what one adds the other finds");
    assert_eq!((&ada.id, UserAttributes::of(&ada)), (&id, attributes()));
    assert!(ada.active && ada.last_login.is_none());
    assert!(matches!(users.add_user(&new_user("ada"), NOW).await, Err(StoreError::Conflict)));
    let changed = UserAttributes { email: String::new(), scopes: "orders:write".to_owned(), ..attributes() };
    for _ in 0..2 {
        assert!(is_set(&*users, "ada", &changed).await, "also where nothing changes");
    }
    assert_eq!(UserAttributes::of(&users.user_by_name("ada").await.unwrap().unwrap()), changed);
    let zoe = users.add_user(&new_user("Zoë 🦀"), NOW).await.unwrap();
    assert_eq!(users.user_by_id(zoe.as_str()).await.unwrap().expect("Zoë").username, "Zoë 🦀");
    let big = users.add_user(&new_user("ADA"), NOW).await.unwrap();
    assert_ne!(big, id);
    let listed = async |after| {
        let listed = users.users_after(after).await.unwrap();
        listed.into_iter().map(|user| user.username).collect::<Vec<_>>()
    };
    assert_eq!(listed("").await, ["ADA", "Zoë 🦀", "ada"]);
    assert_eq!(listed("Zoë 🦀").await, ["ada"]);
    assert_eq!(listed("ada").await, [""; 0]);
    assert!(users.remove_user("ADA").await.unwrap());
    let long = "a".repeat(20_000);
    for name in ["ADA", "Ada", "adá", "ada ", " ada", "a\u{0}da", "Zoe 🦀", "' OR 1=1 --", "", &long] {
        assert!(users.user_by_name(name).await.unwrap().is_none(), "{name:?}");
        assert!(!users.set_active(name, false).await.unwrap(), "{name:?}");
        assert!(!users.set_password(name, &new_user("").password).await.unwrap(), "{name:?}");
        assert!(!is_set(&*users, name, &changed).await, "{name:?}");
        assert!(!users.remove_user(name).await.unwrap(), "{name:?}");
    }
    for id in ["x", "", "-1", "99999999999999999999", "1 OR 1=1", "1\u{0}"] {
        assert!(users.user_by_id(id).await.unwrap().is_none(), "{id:?}");
    }
    assert!(users.remove_user("ada").await.unwrap());
    assert!(!users.remove_user("ada").await.unwrap());
    assert!(users.user_by_id(id.as_str()).await.unwrap().is_none());
    let again = users.add_user(&new_user("ada"), NOW).await.unwrap();
    assert!(again != id && again != big, "an id is never given again");
}

async fn is_set(users: &dyn Store, name: &str, attributes: &UserAttributes) -> bool {
    let attributes = attributes.clone();
    let change = move |all: &mut UserAttributes| {
        *all = attributes.clone();
        Ok(())
    };
    match users.change_attributes(name, Arc::new(change)).await.unwrap() {
        AttributesChanged::Done => true,
        AttributesChanged::NoUser => false,
        AttributesChanged::Refused(why) => panic!("{why}"),
    }
}

/// Whoever changes one thing takes nothing away that another changes meanwhile.
async fn changes_at_once(kind: &Kind) {
    const EACH: usize = 20;
    let place = kind.place();
    let [one, other] = place.two().await;
    one.add_user(&new_user("ada"), NOW).await.unwrap();
    let changes = (0..EACH).flat_map(|number| {
        let claim: AttributesChange = Arc::new(move |all| {
            all.claims.insert(format!("claim{number}"), json!(number));
            Ok(())
        });
        let role: AttributesChange = Arc::new(move |all| {
            all.roles = format!("{} role{number}", all.roles);
            Ok(())
        });
        let refused: AttributesChange = Arc::new(|all| {
            all.email = "never@example.com".to_owned();
            Err("no such address".to_owned())
        });
        [
            one.change_attributes("ada", claim),
            other.change_attributes("ada", role),
            one.change_attributes("ada", refused),
        ]
    });
    let (mut done, mut refused) = (0, 0);
    for changed in join_all(changes).await {
        match changed.unwrap() {
            AttributesChanged::Done => done += 1,
            AttributesChanged::Refused(why) => {
                assert_eq!(why, "no such address");
                refused += 1;
            }
            AttributesChanged::NoUser => panic!("ada is there"),
        }
    }
    assert_eq!((done, refused), (2 * EACH, EACH));
    let ada = UserAttributes::of(&one.user_by_name("ada").await.unwrap().unwrap());
    for number in 0..EACH {
        assert_eq!(ada.claims[&format!("claim{number}")], json!(number));
        assert!(ada.roles.split(' ').any(|role| role == format!("role{number}")), "{}", ada.roles);
    }
    assert_eq!((ada.email, ada.scopes), (attributes().email, attributes().scopes));
    assert_eq!(ada.claims["team"], attributes().claims["team"]);
}

/// Nobody is turned away.
struct Anybody;

impl Admission for Anybody {
    fn admits<'a>(&'a self, _: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(true))
    }
}

async fn changes(kind: &Kind) {
    let place = kind.place();
    let users = place.open().await;
    let id = users.add_user(&new_user("ada"), NOW).await.unwrap();
    users.note_login(&id, NOW).await.unwrap();
    let passwords = Arc::new(Passwords::new(Handle::current(), 2));
    let hash = passwords.hash(Secret::new("correct-horse")).await.unwrap();
    assert!(users.set_password("ada", &hash).await.unwrap());
    assert!(users.set_password("ada", &hash).await.unwrap(), "the same again is no other user");
    assert!(users.set_active("ada", true).await.unwrap(), "nor is this");
    users.renew_hash(&id, &new_user("").password, &new_user("").password).await.unwrap();
    let stored = |user: Option<tollgate::store::User>| user.unwrap().password.unwrap();
    assert!(stored(users.user_by_name("ada").await.unwrap()) == hash, "changed meanwhile");
    let renewed = PasswordHash::from_stored("renewed".to_owned());
    users.renew_hash(&id, &hash, &renewed).await.unwrap();
    assert!(stored(users.user_by_name("ada").await.unwrap()) == renewed);
    assert!(users.set_password("ada", &hash).await.unwrap());
    assert_eq!(users.user_by_id(id.as_str()).await.unwrap().unwrap().last_login, Some(NOW));

    let log_in = HashedUsers::new(Arc::clone(&users) as _, passwords);
    let is_in = async |password: &'static str| {
        log_in.log_in("ada", Secret::new(password), &Anybody).await.map(|user| user.is_some())
    };
    assert!(is_in("correct-horse").await.unwrap());
    assert!(!is_in("correct-hors").await.unwrap());
    assert!(users.set_active("ada", false).await.unwrap());
    assert!(!users.user_by_name("ada").await.unwrap().unwrap().active);
    assert!(!is_in("correct-horse").await.unwrap());
    assert!(users.set_active("ada", true).await.unwrap());
    assert!(is_in("correct-horse").await.unwrap());
}

async fn a_user_takes_its_sessions_with_it(kind: &Kind) {
    let place = kind.place();
    let store = place.open().await;
    let ada = store.add_user(&new_user("ada"), NOW).await.unwrap();
    let zoe = store.add_user(&new_user("zoe"), NOW).await.unwrap();
    log_in(&*store, "s1", &ada, &token("j1")).await;
    log_in(&*store, "s2", &zoe, &token("j2")).await;
    assert!(store.remove_user("ada").await.unwrap());
    let new = token("j3");
    assert_eq!(store.rotate(&rotation("j1", &new)).await.unwrap(), Rotated::NoSession);
    assert_eq!(store.session("s1").await.unwrap(), None);
    assert_eq!(store.rotate(&rotation("j2", &new)).await.unwrap(), Rotated::Done);
}

async fn known_users(kind: &Kind) {
    let place = kind.place();
    let [one, other] = place.two().await;
    one.add_user(&new_user("ada"), NOW).await.unwrap();
    let mut ada = one.user_by_name("ada").await.unwrap().unwrap();
    ada.id = UserId::new("uid=ada,ou=people");
    for team in [json!("é\u{0}"), json!([1, { "a": null }])] {
        ada.more.insert("team".to_owned(), team.clone());
        for _ in 0..2 {
            one.remember(&ada).await.unwrap();
            let known = other.recall(ada.id.as_str()).await.unwrap().expect("known");
            assert_eq!((&known.username, &known.more), (&ada.username, &ada.more));
            assert!(known.password.is_none());
        }
    }
    let long = "u".repeat(2_000);
    for id in ["", "UID=ada,ou=people", "uid=ada,ou=people ", "a\u{0}", &long] {
        assert!(one.recall(id).await.unwrap().is_none(), "{id:?}");
    }
}
