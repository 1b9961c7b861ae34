//! Logins, their tokens, and how they end.

use std::time::Duration;

use tollgate::base::{Secret, UnixTime};
use tollgate::store::{
    AccessToken, Ended, Ending, Login, NewSession, RefreshRecord, RefreshState, RefreshToken, Revocation,
    RevocationPage, Revoked, Rotated, SessionRecord, Store, StoreError, Usage, UserId, Which,
};

use crate::support::DatabaseKind;
use crate::{ACCESS, Kind, LATER, NOW, ending, log_in, old, rotation, token};

pub(crate) async fn all(kind: Option<DatabaseKind>) {
    let kind = Kind::start(kind).await;
    a_session_and_its_tokens(&kind).await;
    refusals_change_nothing(&kind).await;
    the_longest_lived_minted_token_counts(&kind).await;
    tokens_without_a_session(&kind).await;
    a_blacklisted_token(&kind).await;
    the_end_of_a_session(&kind).await;
    the_oldest_sessions_end_for_a_new_one(&kind).await;
    a_session_in_place_of_a_token(&kind).await;
    many_sessions_end_at_once(&kind).await;
    revocations_come_in_their_order(&kind).await;
    rows_leave_a_day_after_their_expiry(&kind).await;
    strange_names(&kind).await;
    a_secret_is_chosen_once(&kind).await;
}

fn ada() -> UserId {
    UserId::new("7")
}

fn of_session(sid: &str, seconds: i64) -> Revocation {
    let what = Revoked::Session { issuer: Some("us".to_owned()), sid: sid.to_owned() };
    Revocation { what, expires_at: UnixTime(NOW.0 + seconds) }
}

fn of_token(jti: &str, seconds: i64) -> Revocation {
    let what = Revoked::Token { issuer: Some("us".to_owned()), jti: jti.to_owned() };
    Revocation { what, expires_at: UnixTime(NOW.0 + seconds) }
}

pub(crate) async fn revocations(store: &dyn Store) -> Vec<Revocation> {
    store.revocations_after(0).await.unwrap().revocations
}

async fn is_blacklisted(store: &dyn Store, jti: &str) -> bool {
    store.refresh_state(jti).await.unwrap().blacklisted
}

async fn a_session_and_its_tokens(kind: &Kind) {
    let place = kind.place();
    let [store, other] = place.two().await;
    let sealed = vec![0, 255, 7, 0];
    let first = RefreshToken { claims: Some(sealed.clone()), ..token("j1") };
    log_in(&*store, "s1", &ada(), &first).await;
    let session =
        SessionRecord { sid: "s1".to_owned(), user: ada(), started_at: NOW, ends_at: LATER, ended: false };
    let mut record = RefreshRecord {
        hash: vec![7; 32],
        usage: Usage::Live,
        handed_out_at: NOW,
        claims: Some(sealed),
        session: Some(session.clone()),
    };
    let state =
        |blacklisted, record: &RefreshRecord| RefreshState { blacklisted, record: Some(record.clone()) };
    assert_eq!(other.refresh_state("j1").await.unwrap(), state(false, &record));
    assert_eq!(
        other.refresh_state("unknown").await.unwrap(),
        RefreshState { blacklisted: false, record: None }
    );
    assert_eq!(other.session("s1").await.unwrap(), Some(session.clone()));
    assert_eq!(other.session("s2").await.unwrap(), None);
    assert_eq!(other.sessions_of(&ada(), NOW).await.unwrap(), std::slice::from_ref(&session));
    assert_eq!(other.sessions_of(&ada(), LATER).await.unwrap(), []);
    for which in [Which::Session("s1"), Which::User(&ada())] {
        assert_eq!(other.live_refresh_tokens(which, NOW).await.unwrap(), [("j1".to_owned(), LATER)]);
        assert_eq!(other.live_refresh_tokens(which, LATER).await.unwrap(), []);
    }

    let later = UnixTime(LATER.0 + 10);
    let second = RefreshToken { expires_at: later, ..token("j2") };
    let mut exchange = rotation("j1", &second);
    exchange.access = AccessToken { expires_at: UnixTime(NOW.0 + 500), jti: Some("a2") };
    assert_eq!(other.rotate(&exchange).await.unwrap(), Rotated::Done);
    let session = SessionRecord { ends_at: later, ..session };
    (record.usage, record.claims, record.session) = (Usage::Rotated, None, Some(session.clone()));
    assert_eq!(store.refresh_state("j1").await.unwrap(), state(true, &record));
    (record.usage, record.session) = (Usage::Live, Some(session.clone()));
    assert_eq!(store.refresh_state("j2").await.unwrap(), state(false, &record));
    assert_eq!(store.session_of_access("a2").await.unwrap(), Some(session));
    assert_eq!(store.session_of_access("a1").await.unwrap(), None);
    assert_eq!(store.live_refresh_tokens(Which::Session("s1"), NOW).await.unwrap().len(), 1);
    assert_eq!(store.users_with_sessions("", false, UnixTime(NOW.0 + 499)).await.unwrap(), [ada()]);
    assert_eq!(store.users_with_sessions("", false, UnixTime(NOW.0 + 500)).await.unwrap(), []);
    assert_eq!(store.users_with_sessions("7", false, NOW).await.unwrap(), []);
    let end = store.session("s1").await.unwrap().expect("a session").ends_at;
    let last = UnixTime(end.0 - 1);
    assert_eq!(store.users_with_sessions("", true, last).await.unwrap(), [ada()], "idle");
    assert_eq!(store.users_with_sessions("", true, end).await.unwrap(), []);
    assert_eq!(store.users_with_sessions("7", true, last).await.unwrap(), []);
}

async fn the_longest_lived_minted_token_counts(kind: &Kind) {
    let place = kind.place();
    let [store, other] = place.two().await;
    assert_eq!(store.minted_until(None).await.unwrap(), UnixTime(0));
    for (another, until) in [(LATER, LATER), (NOW, LATER), (UnixTime(LATER.0 + 1), UnixTime(LATER.0 + 1))] {
        assert_eq!(store.minted_until(Some(another)).await.unwrap(), until);
        assert_eq!(other.minted_until(None).await.unwrap(), until);
    }
}

async fn refusals_change_nothing(kind: &Kind) {
    let place = kind.place();
    let store = place.open().await;
    log_in(&*store, "s1", &ada(), &token("j1")).await;
    let new = token("j2");
    assert_eq!(store.rotate(&rotation("never-seen", &new)).await.unwrap(), Rotated::NoSession);
    assert!(!is_blacklisted(&*store, "never-seen").await);
    store.end(Which::Session("s1"), ending(NOW)).await.unwrap();
    for require_session in [true, false] {
        let mut ended = rotation("j1", &new);
        ended.require_session = require_session;
        assert_eq!(store.rotate(&ended).await.unwrap(), Rotated::NoSession);
    }
    assert!(!is_blacklisted(&*store, "j1").await);
    assert_eq!(store.refresh_state("j2").await.unwrap().record, None);
    assert!(!store.note_access("s1", ACCESS).await.unwrap());
    assert!(!store.note_access("s2", ACCESS).await.unwrap());
}

async fn tokens_without_a_session(kind: &Kind) {
    let place = kind.place();
    let store = place.open().await;
    let (new, newer) = (token("j2"), token("j3"));
    let nobody = UserId::new("999");
    let mut unlisted = rotation("never-seen", &new);
    (unlisted.require_session, unlisted.user) = (false, Some(&nobody));
    assert_eq!(store.rotate(&unlisted).await.unwrap(), Rotated::Done);
    assert_eq!(store.rotate(&unlisted).await.unwrap(), Rotated::AlreadyBlacklisted);
    assert_eq!(store.refresh_state("j2").await.unwrap().record.expect("recorded").session, None);
    let mut kept = rotation("j2", &newer);
    (kept.require_session, kept.retire) = (false, false);
    assert_eq!(store.rotate(&kept).await.unwrap(), Rotated::Done);
    let state = store.refresh_state("j2").await.unwrap();
    assert!(!state.blacklisted && state.record.expect("recorded").usage == Usage::Live);
}

async fn a_blacklisted_token(kind: &Kind) {
    let place = kind.place();
    let store = place.open().await;
    log_in(&*store, "s1", &ada(), &token("j1")).await;
    log_in(&*store, "s2", &ada(), &token("j2")).await;
    let ended = store.blacklist(old("j1"), Some(ending(NOW))).await.unwrap().expect("news");
    assert_eq!(ended.sessions, ["s1"]);
    assert_eq!(ended.revocations, [of_session("s1", 300)]);
    assert_eq!(store.blacklist(old("j1"), Some(ending(NOW))).await.unwrap(), None);
    let state = store.refresh_state("j1").await.unwrap();
    let record = state.record.expect("recorded");
    assert!(state.blacklisted && record.usage == Usage::Ended && record.session.expect("a session").ended);
    assert_eq!(store.blacklist(old("j2"), None).await.unwrap(), Some(Ended::default()));
    assert!(!store.session("s2").await.unwrap().expect("a session").ended);
    assert!(store.blacklist(old("unknown to all"), Some(ending(NOW))).await.unwrap().is_some());
    let new = token("j3");
    assert_eq!(store.rotate(&rotation("j1", &new)).await.unwrap(), Rotated::AlreadyBlacklisted);
}

async fn the_end_of_a_session(kind: &Kind) {
    let place = kind.place();
    let store = place.open().await;
    log_in(&*store, "s1", &ada(), &token("j1")).await;
    let new = token("j2");
    let mut exchange = rotation("j1", &new);
    exchange.access = AccessToken { expires_at: UnixTime(NOW.0 + 500), jti: Some("a2") };
    assert_eq!(store.rotate(&exchange).await.unwrap(), Rotated::Done);
    let expired = AccessToken { expires_at: UnixTime(NOW.0 - 100), jti: Some("a1") };
    assert!(store.note_access("s1", expired).await.unwrap());

    let leeway = Ending { leeway: Duration::from_secs(30), ..ending(NOW) };
    let ended = store.end(Which::Session("s1"), leeway).await.unwrap();
    let expected = vec![of_session("s1", 530), of_token("a2", 530)];
    assert_eq!(ended, Ended { sessions: vec!["s1".to_owned()], revocations: expected });
    assert_eq!(revocations(&*store).await, ended.revocations);
    assert_eq!(store.end(Which::Session("s1"), leeway).await.unwrap(), Ended::default(), "it is no news");
    assert_eq!(store.end(Which::Session("s2"), leeway).await.unwrap(), Ended::default());
    assert_eq!(revocations(&*store).await.len(), 2);
}

async fn the_oldest_sessions_end_for_a_new_one(kind: &Kind) {
    let place = kind.place();
    let store = place.open().await;
    let stranger = UserId::new("999");
    log_in(&*store, "strangers", &stranger, &token("j-strangers")).await;
    let start = async |second: i64, most: Option<u32>| {
        let now = UnixTime(NOW.0 + second);
        let session = NewSession { sid: format!("s{second}"), user: ada(), started_at: now };
        let refresh = token(&format!("j{second}"));
        let login = Login {
            session: &session,
            refresh: &refresh,
            access: ACCESS,
            replaces: None,
            most,
            ending: ending(now),
        };
        store.start_session(&login).await.unwrap().sessions
    };
    for second in 0..3 {
        assert_eq!(start(second, Some(3)).await, [""; 0]);
    }
    assert_eq!(start(3, Some(2)).await, ["s1", "s0"]);
    let now = UnixTime(NOW.0 + 3);
    let left = store.sessions_of(&ada(), now).await.unwrap();
    assert_eq!(left.iter().map(|session| &*session.sid).collect::<Vec<_>>(), ["s2", "s3"]);
    assert_eq!(store.sessions_of(&stranger, now).await.unwrap().len(), 1);
    assert_eq!(store.end(Which::User(&ada()), ending(now)).await.unwrap().sessions, ["s3", "s2"]);
    assert_eq!(store.users_with_sessions("", false, now).await.unwrap(), [stranger]);
}

/// All of it is done or nothing: a token that is on the blacklist begins none, and one that began none is not there.
async fn a_session_in_place_of_a_token(kind: &Kind) {
    let place = kind.place();
    let store = place.open().await;
    let begin = async |sid: &str, jti: &str, replaces: Option<&str>| {
        let session = NewSession { sid: sid.to_owned(), user: ada(), started_at: NOW };
        let refresh = token(jti);
        let replaces = replaces.map(old);
        let login = Login {
            session: &session,
            refresh: &refresh,
            access: ACCESS,
            replaces,
            most: Some(1),
            ending: ending(NOW),
        };
        store.start_session(&login).await
    };
    let start = async |sid: &str, old_jti: &str| begin(sid, &format!("j-{sid}"), Some(old_jti)).await;
    store.blacklist(old("ended"), None).await.unwrap();
    let begun = start("s1", "old").await.unwrap();
    assert_eq!(begun, Ended::default());
    assert!(is_blacklisted(&*store, "old").await);
    for (sid, old_jti, why) in
        [("s2", "old", "exchanged"), ("s2", "ended", "ended"), ("s1", "unused", "a name that is taken")]
    {
        let refused = start(sid, old_jti).await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{why}: {refused:?}");
    }
    let refused = begin("s2", "j-s1", None).await;
    assert!(matches!(refused, Err(StoreError::Conflict)), "a token that has a session: {refused:?}");
    assert!(!is_blacklisted(&*store, "unused").await);
    assert_eq!(store.session("s2").await.unwrap(), None);
    assert_eq!(store.refresh_state("j-s2").await.unwrap().record, None);
    assert!(!store.session("s1").await.unwrap().expect("a session").ended, "it is none of those that end");
    assert_eq!(start("s2", "unused").await.unwrap().sessions, ["s1"]);
}

/// More than one statement is about.
async fn many_sessions_end_at_once(kind: &Kind) {
    let place = kind.place();
    let store = place.open().await;
    for number in 0..75 {
        log_in(&*store, &format!("s{number:02}"), &ada(), &token(&format!("j{number}"))).await;
        let jti = format!("a{number}");
        let access = AccessToken { jti: Some(&jti), ..ACCESS };
        assert!(store.note_access(&format!("s{number:02}"), access).await.unwrap());
    }
    let ended = store.end(Which::User(&ada()), ending(NOW)).await.unwrap();
    let expected: Vec<_> = (0..75)
        .rev()
        .flat_map(|number| [of_session(&format!("s{number:02}"), 300), of_token(&format!("a{number}"), 300)])
        .collect();
    assert_eq!(ended.sessions.len(), 75);
    assert_eq!(ended.revocations, expected);
    let page = store.revocations_after(0).await.unwrap();
    assert_eq!((&page.revocations, page.last, page.highest), (&expected, 150, 150));
    assert_eq!(store.sessions_of(&ada(), NOW).await.unwrap(), []);
}

async fn revocations_come_in_their_order(kind: &Kind) {
    let place = kind.place();
    let [store, other] = place.two().await;
    assert_eq!(store.revocations_after(0).await.unwrap(), RevocationPage::default());
    let some = [
        of_token("a\u{0}é", 10),
        Revocation {
            what: Revoked::Subject { issuer: None, subject: "7".repeat(9_000), before: NOW },
            expires_at: LATER,
        },
        Revocation { what: Revoked::Input { digest: "00".to_owned() }, expires_at: LATER },
    ];
    store.revoke(&some).await.unwrap();
    store.revoke(&[]).await.unwrap();
    let page = other.revocations_after(0).await.unwrap();
    assert_eq!((&page.revocations[..], page.last, page.highest), (&some[..], 3, 3));
    store.revoke(&[of_session("s", 10)]).await.unwrap();
    let page = other.revocations_after(page.last).await.unwrap();
    assert_eq!((&page.revocations[..], page.last), (&[of_session("s", 10)][..], 4));
    assert!(store.revocations_after(4).await.unwrap().revocations.is_empty());
    // Rows that left do not hold up the count.
    assert!(store.purge(UnixTime(LATER.0 + 86_401)).await.unwrap() > 0);
    let page = store.revocations_after(2).await.unwrap();
    assert_eq!((page.revocations.len(), page.last, page.highest), (0, 4, 4));
    // Nor does a reader who was at another database.
    let page = store.revocations_after(9).await.unwrap();
    assert_eq!((page.revocations.len(), page.highest), (0, 4));
}

async fn rows_leave_a_day_after_their_expiry(kind: &Kind) {
    let place = kind.place();
    let store = place.open().await;
    log_in(&*store, "s1", &ada(), &token("j1")).await;
    assert!(store.note_access("s1", AccessToken { jti: Some("a1"), ..ACCESS }).await.unwrap());
    store.blacklist(old("j1"), None).await.unwrap();
    for (seconds, kept) in [(86_400, true), (86_401, false)] {
        store.purge(UnixTime(LATER.0 + seconds)).await.unwrap();
        let state = store.refresh_state("j1").await.unwrap();
        assert_eq!((state.blacklisted, state.record.is_some()), (kept, kept), "{seconds}");
    }
    assert_eq!(store.session_of_access("a1").await.unwrap(), None);
    assert_eq!(store.session("s1").await.unwrap(), None);
    assert_eq!(store.purge(UnixTime(LATER.0 + 86_401)).await.unwrap(), 0, "nothing is left");
}

/// Names differ in every byte, whatever a server's collation; and no name makes an error. What a database can't keep it
/// can't blacklist either, so it counts as if it were.
async fn strange_names(kind: &Kind) {
    let place = kind.place();
    let store = place.open().await;
    let names = ["j", "J", "j ", "é", "e\u{301}", "\u{1f980}", "' OR 1=1 --", ""];
    for (number, name) in names.into_iter().enumerate() {
        log_in(&*store, &format!("s{number}{name}"), &UserId::new(name), &token(name)).await;
    }
    for (number, name) in names.into_iter().enumerate() {
        let sid = format!("s{number}{name}");
        let sessions = store.sessions_of(&UserId::new(name), NOW).await.unwrap();
        assert_eq!(sessions.len(), 1, "{name:?}");
        assert_eq!(sessions[0].sid, sid);
        assert!(!is_blacklisted(&*store, name).await, "{name:?}");
        assert!(store.blacklist(old(name), None).await.unwrap().is_some(), "{name:?}");
        assert!(is_blacklisted(&*store, name).await, "{name:?}");
    }
    let long = "j".repeat(20_000);
    for name in ["a\u{0}b", &long] {
        let user = UserId::new(name);
        assert_eq!(store.session(name).await.unwrap(), None);
        assert_eq!(store.session_of_access(name).await.unwrap(), None);
        assert_eq!(store.sessions_of(&user, NOW).await.unwrap(), []);
        assert_eq!(store.users_with_sessions(name, false, UnixTime(NOW.0 + 300)).await.unwrap(), []);
        assert_eq!(store.live_refresh_tokens(Which::Session(name), NOW).await.unwrap(), []);
        assert_eq!(store.live_refresh_tokens(Which::User(&user), NOW).await.unwrap(), []);
        assert_eq!(store.end(Which::Session(name), ending(NOW)).await.unwrap(), Ended::default());
        assert_eq!(store.end(Which::User(&user), ending(NOW)).await.unwrap(), Ended::default());
        assert!(!store.note_access(name, ACCESS).await.unwrap());
        let new = token("never");
        let exchange = store.rotate(&rotation(name, &new)).await.unwrap();
        assert_ne!(exchange, Rotated::Done);
        store.blacklist(old(name), Some(ending(NOW))).await.unwrap();
        assert!(is_blacklisted(&*store, name).await, "what was ended stays so");
    }
}

async fn a_secret_is_chosen_once(kind: &Kind) {
    let place = kind.place();
    let [one, other] = place.two().await;
    let secret = async |store: &dyn Store, name: &'static str, proposed: &'static [u8]| {
        store.secret(name, Secret::new(proposed)).await.unwrap().expose().to_vec()
    };
    let (first, second) = tokio::join!(secret(&*one, "a", b"\x00\xff"), secret(&*other, "a", b"second"));
    assert_eq!(first, second);
    assert_eq!(secret(&*other, "a", b"third").await, first);
    assert_eq!(secret(&*other, "b", b"fourth").await, b"fourth");
}
