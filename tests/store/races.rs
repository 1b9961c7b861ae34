//! Several replicas that do something to the same rows at the same time.

use std::sync::Arc;

use futures_util::future::{join, join_all};
use tollgate::base::UnixTime;
use tollgate::store::{
    Login, NewSession, Revocation, Revoked, Rotated, Rotation, Store, StoreError, UserId, Which,
};

use crate::sessions::revocations;
use crate::support::DatabaseKind;
use crate::{ACCESS, Kind, LATER, NOW, ending, log_in, old, rotation, token};

pub(crate) async fn rotations(kind: Option<DatabaseKind>) {
    let kind = Kind::start(kind).await;
    let place = kind.place();
    let stores = place.two().await;
    log_in(&*stores[0], "s1", &UserId::new("7"), &token("j")).await;
    let mut current = "j".to_owned();
    for round in 0..50 {
        let new: Vec<_> = (0..64).map(|number| token(&format!("{round}-{number}"))).collect();
        let asked: Vec<Rotation<'_>> = new.iter().map(|new| rotation(&current, new)).collect();
        let outcomes = join_all((0..64).map(|number| stores[number % 2].rotate(&asked[number]))).await;
        let outcomes: Vec<Rotated> = outcomes.into_iter().map(Result::unwrap).collect();
        let done: Vec<usize> = (0..64).filter(|number| outcomes[*number] == Rotated::Done).collect();
        assert_eq!(done.len(), 1, "round {round}");
        let late = outcomes.iter().filter(|outcome| **outcome == Rotated::AlreadyBlacklisted).count();
        assert_eq!(late, 63, "round {round}");
        let live = stores[0].live_refresh_tokens(Which::Session("s1"), NOW).await.unwrap();
        assert_eq!(live, [(new[done[0]].jti.clone(), LATER)], "round {round}");
        current.clone_from(&new[done[0]].jti);
    }
    assert!(!stores[0].session("s1").await.unwrap().expect("a session").ended);
}

pub(crate) async fn all(kind: Option<DatabaseKind>) {
    let kind = Kind::start(kind).await;
    logins_with_a_limit(&kind).await;
    exchanges_of_one_token(&kind).await;
    logout_against_refresh(&kind).await;
    blacklist_against_refresh(&kind).await;
    purge_against_refresh(&kind).await;
    numbers_come_into_sight_in_their_order(&kind).await;
}

async fn logins_with_a_limit(kind: &Kind) {
    let place = kind.place();
    let stores = place.two().await;
    let user = UserId::new("7");
    for round in 0..5 {
        let logins = (0..16).map(|number| {
            let (store, user) = (Arc::clone(&stores[number % 2]), user.clone());
            async move {
                let session = NewSession { sid: format!("s{round}-{number}"), user, started_at: NOW };
                let refresh = token(&format!("j{round}-{number}"));
                let (most, ending) = (Some(3), ending(NOW));
                let login = Login {
                    session: &session,
                    refresh: &refresh,
                    access: ACCESS,
                    replaces: None,
                    most,
                    ending,
                };
                store.start_session(&login).await.unwrap().sessions.len()
            }
        });
        let ended: usize = join_all(logins).await.into_iter().sum();
        assert_eq!(ended, if round == 0 { 13 } else { 16 }, "round {round}");
        assert_eq!(stores[0].sessions_of(&user, NOW).await.unwrap().len(), 3, "round {round}");
    }
}

/// And a logout by the same token: of all of them one has it.
async fn exchanges_of_one_token(kind: &Kind) {
    let place = kind.place();
    let stores = place.two().await;
    for round in 0..20 {
        let jti = format!("old{round}");
        let exchanges = (0..16).map(|number| {
            let (store, old) = (Arc::clone(&stores[number % 2]), old(&jti));
            async move {
                let sid = format!("s{round}-{number}");
                let session = NewSession { sid, user: UserId::new("7"), started_at: NOW };
                let refresh = token(&format!("j{round}-{number}"));
                let (replaces, ending) = (Some(old), ending(NOW));
                let login = Login {
                    session: &session,
                    refresh: &refresh,
                    access: ACCESS,
                    replaces,
                    most: None,
                    ending,
                };
                match store.start_session(&login).await {
                    Ok(_) => 1,
                    Err(StoreError::Conflict) => 0,
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
        let logout = stores[1].blacklist(old(&jti), None);
        let (begun, ended) = join(join_all(exchanges), logout).await;
        let begun: usize = begun.into_iter().sum();
        assert_eq!(begun + usize::from(ended.unwrap().is_some()), 1, "round {round}");
        let sessions = stores[0].sessions_of(&UserId::new("7"), NOW).await.unwrap();
        let of_round = sessions.iter().filter(|session| session.sid.starts_with(&format!("s{round}-")));
        assert_eq!(of_round.count(), begun, "round {round}");
    }
}

/// Whichever is first: the session has ended afterwards, and no token that it has is good.
async fn logout_against_refresh(kind: &Kind) {
    let place = kind.place();
    let stores = place.two().await;
    let user = UserId::new("7");
    let mut refreshed = 0;
    for round in 0..40 {
        let (sid, jti) = (format!("s{round}"), format!("j{round}"));
        log_in(&*stores[0], &sid, &user, &token(&jti)).await;
        let new = token(&format!("new{round}"));
        let exchange = rotation(&jti, &new);
        let end = async {
            if round % 2 == 0 {
                stores[1].end(Which::Session(&sid), ending(NOW)).await
            } else {
                stores[1].end(Which::User(&user), ending(NOW)).await
            }
        };
        let (rotated, ended) = join(stores[0].rotate(&exchange), end).await;
        assert_eq!(ended.unwrap().sessions, [sid.as_str()], "round {round}");
        let state = stores[0].refresh_state(&new.jti).await.unwrap();
        match rotated.unwrap() {
            Rotated::Done => {
                refreshed += 1;
                let session = state.record.expect("recorded").session.expect("a session");
                assert!(session.ended, "round {round}");
            }
            Rotated::NoSession => assert_eq!(state.record, None, "round {round}"),
            Rotated::AlreadyBlacklisted => panic!("round {round}: nobody was there before"),
        }
        let newest = token(&format!("newest{round}"));
        for jti in [&jti, &new.jti] {
            assert_ne!(stores[0].rotate(&rotation(jti, &newest)).await.unwrap(), Rotated::Done);
        }
    }
    assert!(refreshed <= 40);
}

/// They want the same rows, and one of them gets them.
async fn blacklist_against_refresh(kind: &Kind) {
    let place = kind.place();
    let stores = place.two().await;
    for round in 0..40 {
        let (sid, jti) = (format!("s{round}"), format!("j{round}"));
        log_in(&*stores[0], &sid, &UserId::new("7"), &token(&jti)).await;
        let new = token(&format!("new{round}"));
        let exchange = rotation(&jti, &new);
        let blacklisting = stores[1].blacklist(old(&jti), Some(ending(NOW)));
        let (rotated, blacklisted) = join(stores[0].rotate(&exchange), blacklisting).await;
        match (rotated.unwrap(), blacklisted.unwrap()) {
            (Rotated::Done, None) => {}
            (Rotated::AlreadyBlacklisted, Some(ended)) => assert_eq!(ended.sessions, [sid]),
            other => panic!("round {round}: {other:?}"),
        }
    }
}

/// A session that is refreshed while others leave stays whole, and one that was ended stays ended.
async fn purge_against_refresh(kind: &Kind) {
    let place = kind.place();
    let stores = place.two().await;
    let user = UserId::new("7");
    let late = UnixTime(LATER.0 + 86_401);
    for round in 0..20 {
        for number in 0..5 {
            let name = format!("{round}-{number}");
            log_in(&*stores[0], &format!("s{name}"), &user, &token(&format!("j{name}"))).await;
        }
        let (sid, jti) = (format!("s{round}-0"), format!("j{round}-0"));
        let mut new = token(&format!("new{round}"));
        new.expires_at = UnixTime(late.0 + 86_400);
        let exchange = rotation(&jti, &new);
        let (rotated, purged) = join(stores[0].rotate(&exchange), stores[1].purge(late)).await;
        purged.unwrap();
        let state = stores[0].refresh_state(&new.jti).await.unwrap();
        match rotated.unwrap() {
            Rotated::Done => {
                let session = state.record.expect("recorded").session.expect("its session");
                assert_eq!((session.sid, session.ended, session.ends_at), (sid, false, new.expires_at));
            }
            Rotated::NoSession => assert_eq!(state.record, None),
            Rotated::AlreadyBlacklisted => panic!("nobody was there before"),
        }
    }
}

/// Whoever reads on from the number that he saw last misses nothing.
async fn numbers_come_into_sight_in_their_order(kind: &Kind) {
    let place = kind.place();
    let stores = place.two().await;
    let writers = (0..8).map(|writer: usize| {
        let store = Arc::clone(&stores[writer % 2]);
        async move {
            for number in 0..25 {
                let some: Vec<Revocation> = (0..=number % 3)
                    .map(|part| Revocation {
                        what: Revoked::Token { issuer: None, jti: format!("{writer}-{number}-{part}") },
                        expires_at: LATER,
                    })
                    .collect();
                store.revoke(&some).await.unwrap();
            }
        }
    });
    let reader = async |store: &dyn Store| {
        let (mut seen, mut last) = (Vec::new(), 0);
        while seen.len() < 8 * 49 {
            let page = store.revocations_after(last).await.unwrap();
            seen.extend(page.revocations);
            last = page.last;
        }
        seen
    };
    let (_, seen, seen_there) = tokio::join!(join_all(writers), reader(&*stores[0]), reader(&*stores[1]));
    let all = revocations(&*stores[0]).await;
    assert_eq!(seen, all);
    assert_eq!(seen_there, all);
}
