//! What the end of a session leaves in the database, and for how long.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::store::{Revocation, Revoked, Which};

fn of_session(sid: &str, seconds: i64) -> Revocation {
    let what = Revoked::Session { issuer: Some("us".to_owned()), sid: sid.to_owned() };
    Revocation { what, expires_at: UnixTime(NOW.0 + seconds) }
}

fn of_token(jti: &str, seconds: i64) -> Revocation {
    let what = Revoked::Token { issuer: Some("us".to_owned()), jti: jti.to_owned() };
    Revocation { what, expires_at: UnixTime(NOW.0 + seconds) }
}

async fn all(store: &Sqlite) -> Vec<Revocation> {
    store.revocations_after(0).await.unwrap().revocations
}

#[tokio::test]
async fn a_session_ends_once_and_its_access_tokens_are_revoked_until_the_last_has_expired() {
    let place = Place::new();
    let store = place.store().await;
    logged_in(&store, "j1").await;
    let new = token("j2");
    let mut rotation = rotation("j1", &new);
    rotation.access = AccessToken { expires_at: UnixTime(NOW.0 + 500), jti: Some("a2") };
    assert_eq!(store.rotate(&rotation).await.unwrap(), Rotated::Done);
    let expired = AccessToken { expires_at: UnixTime(NOW.0 - 100), jti: Some("a1") };
    assert!(store.note_access("s1", expired).await.unwrap());
    assert_eq!(store.session_of_access("a2").await.unwrap().expect("a session").sid, "s1");

    let leeway = Ending { leeway: Duration::from_secs(30), ..ending(NOW) };
    let ended = store.end(Which::Session("s1"), leeway).await.unwrap();
    let revocations = vec![of_session("s1", 530), of_token("a2", 530)];
    assert_eq!(ended, Ended { sessions: vec!["s1".to_owned()], revocations });
    assert_eq!(all(&store).await, ended.revocations);

    assert_eq!(store.end(Which::Session("s1"), leeway).await.unwrap(), Ended::default(), "it is no news");
    assert_eq!(all(&store).await.len(), 2);
    assert!(!store.note_access("s1", expired).await.unwrap());
    let newest = token("j3");
    assert_eq!(store.rotate(&super::rotation("j2", &newest)).await.unwrap(), Rotated::NoSession);
    assert!(!store.refresh_state("j2").await.unwrap().blacklisted, "a refusal changes nothing");
}

#[tokio::test]
async fn the_oldest_sessions_end_for_a_new_one() {
    let place = Place::new();
    let store = place.store().await;
    let user = store.add_user(&ada(), NOW).await.unwrap();
    let stranger = UserId::new("999");
    log_in(&store, "strangers", &stranger, &token("j-strangers"), NOW).await;
    for second in 0..3 {
        let (sid, jti) = (format!("s{second}"), format!("j{second}"));
        log_in(&store, &sid, &user, &token(&jti), UnixTime(NOW.0 + second)).await;
    }
    let now = UnixTime(NOW.0 + 3);
    let session = NewSession { sid: "s3".to_owned(), user: user.clone(), started_at: now };
    let refresh = token("j3");
    let login = Login {
        session: &session,
        refresh: &refresh,
        access: ACCESS,
        replaces: None,
        most: Some(2),
        ending: ending(now),
    };
    let ended = store.start_session(&login).await.unwrap();
    assert_eq!(ended.sessions, ["s1", "s0"]);
    let left = store.sessions_of(&user, now).await.unwrap();
    assert_eq!(left.iter().map(|session| &*session.sid).collect::<Vec<_>>(), ["s2", "s3"]);
    assert_eq!(store.sessions_of(&stranger, now).await.unwrap().len(), 1);

    let ended = store.end(Which::User(&user), ending(now)).await.unwrap();
    assert_eq!(ended.sessions.len(), 2);
    assert_eq!(store.users_with_sessions("", false, now).await.unwrap(), std::slice::from_ref(&stranger));
    assert_eq!(store.users_with_sessions("999", false, now).await.unwrap(), []);
    assert_eq!(
        store.users_with_sessions("", false, UnixTime(NOW.0 + 300)).await.unwrap(),
        [],
        "none is out any more"
    );
}

#[tokio::test]
async fn revocations_come_in_their_order_each_once() {
    let place = Place::new();
    let store = place.store().await;
    assert_eq!(store.revocations_after(0).await.unwrap(), RevocationPage::default());
    let some = [
        of_token("a", 10),
        Revocation {
            what: Revoked::Subject { issuer: None, subject: "7".to_owned(), before: NOW },
            expires_at: LATER,
        },
        Revocation { what: Revoked::Input { digest: "00".to_owned() }, expires_at: LATER },
    ];
    store.revoke(&some).await.unwrap();
    let page = store.revocations_after(0).await.unwrap();
    assert_eq!((&page.revocations[..], page.last, page.highest), (&some[..], 3, 3));
    store.revoke(&[of_session("s", 10)]).await.unwrap();
    let page = store.revocations_after(page.last).await.unwrap();
    assert_eq!((&page.revocations[..], page.last), (&[of_session("s", 10)][..], 4));
    assert!(store.revocations_after(4).await.unwrap().revocations.is_empty());
    // Rows that left do not hold up the count.
    assert!(store.purge(UnixTime(LATER.0 + 86_401)).await.unwrap() > 0);
    let page = store.revocations_after(2).await.unwrap();
    assert_eq!((page.revocations.len(), page.last, page.highest), (0, 4, 4));
}

#[tokio::test]
async fn a_secret_is_chosen_once() {
    let place = Place::new();
    let (one, other) = (place.store().await, place.store().await);
    let secret = async |store: &Sqlite, name: &'static str, proposed: &'static str| {
        store.secret(name, Secret::new(proposed)).await.unwrap().expose().to_vec()
    };
    assert_eq!(secret(&one, "a", "first").await, b"first");
    assert_eq!(secret(&other, "a", "second").await, b"first");
    assert_eq!(secret(&other, "b", "third").await, b"third");
}

#[tokio::test]
async fn a_database_that_does_not_answer_at_start_is_used_when_it_does() {
    let place = Place::new();
    drop(place.store().await);
    let away = place.folder.path().join("away");
    fs::rename(place.file(), &away).unwrap();
    fs::create_dir(place.file()).unwrap();
    assert!(matches!(Sqlite::open(&place.file(), Missing::Refuse).await, Err(OpenError::Store(_))));
    let store = Sqlite::open_patiently(&place.file(), Missing::Refuse).await.unwrap();
    assert!(matches!(store.revocations_after(0).await, Err(StoreError::Unavailable { .. })));
    fs::remove_dir(place.file()).unwrap();
    fs::rename(&away, place.file()).unwrap();
    assert!(store.revocations_after(0).await.unwrap().revocations.is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    LogIn { lifetime: i64 },
    Rotate { token: usize, lifetime: i64 },
    Blacklist { token: usize, ends_session: bool },
    End { token: usize },
    EndUser,
    Wait { seconds: i64 },
    Purge,
}

fn step() -> impl Strategy<Value = Step> {
    let lifetime = || prop_oneof![1..100_i64, 50_000..400_000_i64];
    prop_oneof![
        2 => lifetime().prop_map(|lifetime| Step::LogIn { lifetime }),
        4 => (0..20_usize, lifetime()).prop_map(|(token, lifetime)| Step::Rotate { token, lifetime }),
        2 => (0..20_usize, any::<bool>())
            .prop_map(|(token, ends_session)| Step::Blacklist { token, ends_session }),
        1 => (0..20_usize).prop_map(|token| Step::End { token }),
        1 => Just(Step::EndUser),
        3 => prop_oneof![1..200_i64, 40_000..200_000_i64].prop_map(|seconds| Step::Wait { seconds }),
        3 => Just(Step::Purge),
    ]
}

/// A refresh token, and whether it was ever refused.
struct Handed {
    jti: String,
    sid: String,
    expires_at: UnixTime,
    was_dead: bool,
}

/// As SimpleJWT judges, which asks for no row: what is not known to be dead is alive.
async fn is_dead(store: &Sqlite, jti: &str) -> bool {
    let state = store.refresh_state(jti).await.unwrap();
    state.blacklisted || state.record.and_then(|record| record.session).is_some_and(|session| session.ended)
}

async fn play(steps: &[Step]) {
    let place = Place::new();
    let store = place.store().await;
    let user = UserId::new("1");
    let mut now = NOW;
    let mut tokens: Vec<Handed> = Vec::new();
    let mut revoked: HashMap<String, UnixTime> = HashMap::new();
    for (number, step) in steps.iter().enumerate() {
        let fresh = |sid: String, lifetime: i64| Handed {
            jti: format!("j{number}"),
            sid,
            expires_at: UnixTime(now.0 + lifetime),
            was_dead: false,
        };
        let record = |handed: &Handed| RefreshToken { expires_at: handed.expires_at, ..token(&handed.jti) };
        let access = AccessToken { expires_at: UnixTime(now.0 + 300), jti: None };
        let picked = |token: usize| tokens.get(token % tokens.len().max(1));
        let mut ended = Ended::default();
        match *step {
            Step::LogIn { lifetime } => {
                let handed = fresh(format!("s{number}"), lifetime);
                let session = NewSession { sid: handed.sid.clone(), user: user.clone(), started_at: now };
                let refresh = record(&handed);
                let login = Login {
                    session: &session,
                    refresh: &refresh,
                    access,
                    replaces: None,
                    most: None,
                    ending: ending(now),
                };
                store.start_session(&login).await.unwrap();
                tokens.push(handed);
            }
            Step::Rotate { token, lifetime } => {
                let Some(handed) = picked(token).filter(|handed| handed.expires_at > now) else { continue };
                let (jti, expires_at) = (handed.jti.clone(), handed.expires_at);
                let new = fresh(handed.sid.clone(), lifetime);
                let refresh = record(&new);
                let old = OldToken { jti: &jti, expires_at };
                let rotation = Rotation { old, access, now, ..rotation("", &refresh) };
                if store.rotate(&rotation).await.unwrap() == Rotated::Done {
                    tokens.push(new);
                }
            }
            Step::Blacklist { token, ends_session } => {
                let Some(handed) = picked(token).filter(|handed| handed.expires_at > now) else { continue };
                let old = OldToken { jti: &handed.jti, expires_at: handed.expires_at };
                let ending = ends_session.then(|| ending(now));
                ended = store.blacklist(old, ending).await.unwrap().unwrap_or_default();
            }
            Step::End { token } => {
                let Some(handed) = picked(token) else { continue };
                ended = store.end(Which::Session(&handed.sid), ending(now)).await.unwrap();
            }
            Step::EndUser => ended = store.end(Which::User(&user), ending(now)).await.unwrap(),
            Step::Wait { seconds } => now = UnixTime(now.0 + seconds),
            Step::Purge => {
                store.purge(now).await.unwrap();
            }
        }
        for revocation in ended.revocations {
            revoked.insert(format!("{:?}", revocation.what), revocation.expires_at);
        }
        for handed in tokens.iter_mut().filter(|handed| handed.expires_at > now) {
            let is_dead = is_dead(&store, &handed.jti).await;
            assert!(is_dead || !handed.was_dead, "{} came back to life in step {number}", handed.jti);
            handed.was_dead = is_dead;
        }
        let kept = all(&store).await;
        for (what, _) in revoked.iter().filter(|(_, expires_at)| **expires_at > now) {
            let is_kept = kept.iter().any(|revocation| format!("{:?}", revocation.what) == *what);
            assert!(is_kept, "{what} was forgotten in step {number}");
        }
    }
}

#[test]
fn a_purge_never_revives_anything() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 40, ..Config::default() });
    let steps = prop::collection::vec(step(), 1..40);
    runner
        .run(&steps, |steps| {
            runtime.block_on(play(&steps));
            Ok(())
        })
        .unwrap();
}
