//! Rows that leave take no knowledge with them that anybody still needs.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use tollgate::base::UnixTime;
use tollgate::store::{
    AccessToken, Ended, Login, NewSession, OldToken, RefreshToken, Rotated, Rotation, Store, UserId, Which,
};

use crate::sessions::revocations;
use crate::support::DatabaseKind;
use crate::{Kind, LATER, NOW, ending, log_in, rotation, token};

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

pub(crate) async fn all(kind: Option<DatabaseKind>) {
    let kind = Kind::start(kind).await;
    of_one_long_session(&*kind.place().open().await).await;
    let store = kind.place().open().await;
    let mut runner = TestRunner::new(Config::default());
    let steps = prop::collection::vec(step(), 1..40);
    // One after another in one database, each with names of its own.
    for case in 0..20 {
        let steps = steps.new_tree(&mut runner).unwrap().current();
        if let Err(complaint) = play(&*store, case, &steps).await {
            panic!("{complaint} of {steps:?}");
        }
    }
}

/// A purge takes a few rows, also where one row is the last of a thousand that hang on it.
async fn of_one_long_session(store: &dyn Store) {
    let user = UserId::new("7");
    log_in(store, "s1", &user, &token("j0")).await;
    for number in 0..600 {
        let new = token(&format!("j{}", number + 1));
        assert_eq!(store.rotate(&rotation(&format!("j{number}"), &new)).await.unwrap(), Rotated::Done);
    }
    let late = LATER.plus(Duration::from_secs(200_000));
    // Of refresh tokens and of the blacklist.
    assert_eq!(store.purge(late).await.unwrap(), 500 + 500);
    assert!(store.session("s1").await.unwrap().is_some());
    assert_eq!(store.purge(late).await.unwrap(), 101 + 100 + 1);
    assert_eq!(store.session("s1").await.unwrap(), None);
}

/// A refresh token, and whether it was ever refused.
struct Handed {
    jti: String,
    sid: String,
    expires_at: UnixTime,
    was_dead: bool,
}

/// As SimpleJWT judges, which asks for no row: what is not known to be dead is alive.
async fn is_dead(store: &dyn Store, jti: &str) -> bool {
    let state = store.refresh_state(jti).await.unwrap();
    state.blacklisted || state.record.and_then(|record| record.session).is_some_and(|session| session.ended)
}

async fn play(store: &dyn Store, case: usize, steps: &[Step]) -> Result<(), String> {
    let user = UserId::new(format!("user{case}"));
    let mut now = NOW;
    let mut tokens: Vec<Handed> = Vec::new();
    let mut revoked: HashMap<String, UnixTime> = HashMap::new();
    for (number, step) in steps.iter().enumerate() {
        let fresh = |sid: String, lifetime: i64| Handed {
            jti: format!("j{case}-{number}"),
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
                let handed = fresh(format!("s{case}-{number}"), lifetime);
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
            let is_dead = is_dead(store, &handed.jti).await;
            if handed.was_dead && !is_dead {
                return Err(format!("{} came back to life in step {number}", handed.jti));
            }
            handed.was_dead = is_dead;
        }
        let kept = revocations(store).await;
        for (what, _) in revoked.iter().filter(|(_, expires_at)| **expires_at > now) {
            if !kept.iter().any(|revocation| format!("{:?}", revocation.what) == *what) {
                return Err(format!("{what} was forgotten in step {number}"));
            }
        }
    }
    Ok(())
}
