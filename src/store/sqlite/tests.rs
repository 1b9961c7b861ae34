mod batches;
mod ending;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Executor, SqliteConnection};

use super::*;
use crate::store::{NewSession, OldToken, RefreshRecord, RefreshToken, Usage, UserAttributes};

const NOW: UnixTime = UnixTime(1_700_000_000);
const LATER: UnixTime = UnixTime(1_700_086_400);

const ACCESS: AccessToken<'static> = AccessToken { expires_at: UnixTime(NOW.0 + 300), jti: None };

fn ending(now: UnixTime) -> Ending<'static> {
    Ending { issuer: Some("us"), leeway: Duration::ZERO, now }
}

/// A database of its own in a folder that goes with it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("data/tollgate.db")
    }

    async fn store(&self) -> Sqlite {
        Sqlite::open(&self.file(), Missing::Create).await.expect("a database")
    }

    /// Another process's connection.
    async fn stranger(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.file());
        SqliteConnection::connect_with(&options).await.expect("a connection")
    }
}

fn ada() -> NewUser {
    NewUser {
        username: "ada".to_owned(),
        password: PasswordHash::from_stored("hash".to_owned()),
        attributes: UserAttributes {
            email: "ada@example.com".to_owned(),
            roles: "admin staff".to_owned(),
            scopes: "orders:read".to_owned(),
            claims: serde_json::Map::from_iter([("team".to_owned(), serde_json::json!(["north"]))]),
        },
    }
}

fn token(jti: &str) -> RefreshToken {
    RefreshToken { jti: jti.to_owned(), hash: [7; 32], expires_at: LATER, claims: None }
}

fn old(jti: &str) -> OldToken<'_> {
    OldToken { jti, expires_at: LATER }
}

fn rotation<'a>(jti: &'a str, new: &'a RefreshToken) -> Rotation<'a> {
    Rotation { old: old(jti), new, access: ACCESS, user: None, retire: true, require_session: true, now: NOW }
}

async fn logged_in(store: &Sqlite, jti: &str) -> UserId {
    let user = store.add_user(&ada(), NOW).await.expect("a user");
    log_in(store, "s1", &user, &token(jti), NOW).await;
    user
}

async fn log_in(store: &Sqlite, sid: &str, user: &UserId, refresh: &RefreshToken, now: UnixTime) {
    let session = NewSession { sid: sid.to_owned(), user: user.clone(), started_at: now };
    let login =
        Login { session: &session, refresh, access: ACCESS, replaces: None, most: None, ending: ending(now) };
    assert_eq!(store.start_session(&login).await.expect("a session"), Ended::default());
}

#[tokio::test]
async fn finds_a_user_by_name_with_case_and_by_id() {
    let place = Place::new();
    let store = place.store().await;
    let id = store.add_user(&ada(), NOW).await.unwrap();
    let user = store.user_by_name("ada").await.unwrap().expect("ada");
    assert_eq!((&user.id, user.roles.as_str(), user.active), (&id, "admin staff", true));
    assert_eq!(store.user_by_id(id.as_str()).await.unwrap().expect("ada").username, "ada");
    for name in ["ADA", "", "ada ", "a\0da"] {
        assert!(store.user_by_name(name).await.unwrap().is_none(), "{name:?}");
    }
    for id in ["", "x", "99999999999999999999", "-1"] {
        assert!(store.user_by_id(id).await.unwrap().is_none(), "{id:?}");
    }
}

#[tokio::test]
async fn what_tokens_say_of_a_user_is_kept_and_replaced() {
    let place = Place::new();
    let store = place.store().await;
    store.add_user(&ada(), NOW).await.unwrap();
    let known = async || UserAttributes::of(&store.user_by_name("ada").await.unwrap().expect("ada"));
    assert_eq!(known().await, ada().attributes);
    let other = UserAttributes { roles: String::new(), claims: serde_json::Map::new(), ..ada().attributes };
    let change: AttributesChange = {
        let other = other.clone();
        Arc::new(move |all| {
            *all = other.clone();
            Ok(())
        })
    };
    assert_eq!(store.change_attributes("ada", Arc::clone(&change)).await.unwrap(), AttributesChanged::Done);
    assert_eq!(known().await, other);
    assert_eq!(store.change_attributes("Ada", change).await.unwrap(), AttributesChanged::NoUser);
}

#[tokio::test]
async fn users_are_listed_page_by_page_in_the_order_of_their_names() {
    let place = Place::new();
    let store = place.store().await;
    for name in ["zoe", "ada", "Bob"] {
        store.add_user(&NewUser { username: name.to_owned(), ..ada() }, NOW).await.unwrap();
    }
    let after = async |name| -> Vec<String> {
        store.users_after(name).await.unwrap().into_iter().map(|user| user.username).collect()
    };
    assert_eq!(after("").await, ["Bob", "ada", "zoe"]);
    assert_eq!(after("ada").await, ["zoe"]);
    assert!(after("zoe").await.is_empty());
}

#[tokio::test]
async fn a_name_is_given_once_and_an_id_never_again() {
    let place = Place::new();
    let store = place.store().await;
    let first = store.add_user(&ada(), NOW).await.unwrap();
    assert!(matches!(store.add_user(&ada(), NOW).await, Err(StoreError::Conflict)));
    assert!(store.remove_user("ada").await.unwrap());
    assert!(!store.remove_user("ada").await.unwrap());
    assert_ne!(store.add_user(&ada(), NOW).await.unwrap(), first);
}

#[tokio::test]
async fn changes_of_a_user_are_seen() {
    let place = Place::new();
    let store = place.store().await;
    let id = logged_in(&store, "j1").await;
    store.note_login(&id, NOW).await.unwrap();
    let other = PasswordHash::from_stored("other".to_owned());
    assert!(store.set_password("ada", &other).await.unwrap());
    assert!(store.set_active("ada", false).await.unwrap());
    assert!(!store.set_active("nobody", false).await.unwrap());
    let user = store.user_by_name("ada").await.unwrap().expect("ada");
    assert_eq!(
        (user.password.expect("a hash").as_stored(), user.active, user.last_login),
        ("other", false, Some(NOW))
    );
}

#[tokio::test]
async fn a_user_takes_its_sessions_with_it() {
    let place = Place::new();
    let store = place.store().await;
    logged_in(&store, "j1").await;
    assert!(store.remove_user("ada").await.unwrap());
    let new = token("j2");
    assert_eq!(store.rotate(&rotation("j1", &new)).await.unwrap(), Rotated::NoSession);
}

#[tokio::test]
async fn survives_a_restart() {
    let place = Place::new();
    let id = place.store().await.add_user(&ada(), NOW).await.unwrap();
    let again = Sqlite::open(&place.file(), Missing::Refuse).await.expect("the same database");
    assert_eq!(again.user_by_name("ada").await.unwrap().expect("ada").id, id);
}

#[tokio::test]
async fn only_the_owner_may_read_the_file_and_its_companions() {
    let place = Place::new();
    let store = place.store().await;
    store.add_user(&ada(), NOW).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(place.file().parent().unwrap()), 0o700);
    for entry in fs::read_dir(place.file().parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn a_missing_database_is_made_only_when_asked() {
    let place = Place::new();
    let Err(error) = Sqlite::open(&place.file(), Missing::Refuse).await else { panic!("it is not there") };
    assert!(matches!(error, OpenError::Missing { .. }), "{error:?}");
    assert!(!place.file().exists());
}

#[tokio::test]
async fn refuses_a_database_of_a_newer_version() {
    let place = Place::new();
    drop(place.store().await);
    place
        .stranger()
        .await
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (999, 'from the future', 1, x'00', 0)",
        )
        .await
        .unwrap();
    let Err(error) = Sqlite::open(&place.file(), Missing::Refuse).await else { panic!("it is newer") };
    assert!(matches!(error, OpenError::Migration { .. }), "{error:?}");
}

#[tokio::test]
async fn knows_the_session_of_a_refresh_token() {
    let place = Place::new();
    let store = place.store().await;
    let user = logged_in(&store, "j1").await;
    let session = SessionRecord { sid: "s1".to_owned(), user, started_at: NOW, ends_at: LATER, ended: false };
    assert_eq!(
        store.refresh_state("j1").await.unwrap(),
        RefreshState {
            blacklisted: false,
            record: Some(RefreshRecord {
                hash: vec![7; 32],
                usage: Usage::Live,
                handed_out_at: NOW,
                claims: None,
                session: Some(session)
            })
        }
    );
    assert_eq!(
        store.refresh_state("unknown").await.unwrap(),
        RefreshState { blacklisted: false, record: None }
    );
}

#[tokio::test]
async fn of_many_rotations_of_one_token_exactly_one_is_done() {
    let place = Place::new();
    let store = place.store().await;
    logged_in(&store, "j1").await;
    let new: Vec<_> = (0..64).map(|number| token(&format!("new-{number}"))).collect();
    let rotations: Vec<_> = new.iter().map(|new| rotation("j1", new)).collect();
    let outcomes = join_all(rotations.iter().map(|rotation| store.rotate(rotation))).await;
    let done = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Rotated::Done))).count();
    let late = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Rotated::AlreadyBlacklisted))).count();
    assert_eq!((done, late), (1, 63));
    let mut live = 0;
    for token in &new {
        live += usize::from(store.refresh_state(&token.jti).await.unwrap().record.is_some());
    }
    assert_eq!(live, 1, "the losers' tokens were not recorded");
}

#[tokio::test]
async fn a_new_token_continues_the_session_of_the_old_one() {
    let place = Place::new();
    let store = place.store().await;
    logged_in(&store, "j1").await;
    let new = token("j2");
    assert_eq!(store.rotate(&rotation("j1", &new)).await.unwrap(), Rotated::Done);
    let record = store.refresh_state("j2").await.unwrap().record.expect("recorded");
    assert_eq!(record.session.expect("a session").sid, "s1");
    assert!(store.refresh_state("j1").await.unwrap().blacklisted);
}

#[tokio::test]
async fn an_ended_or_unknown_session_rotates_only_where_none_is_asked_for() {
    let place = Place::new();
    let store = place.store().await;
    logged_in(&store, "j1").await;
    assert!(store.blacklist(old("j1"), Some(ending(NOW))).await.unwrap().is_some());
    let new = token("j2");
    let mut unlisted = rotation("never-seen", &new);
    assert_eq!(store.rotate(&unlisted).await.unwrap(), Rotated::NoSession);
    assert!(!store.refresh_state("never-seen").await.unwrap().blacklisted, "a refusal changes nothing");
    unlisted.require_session = false;
    let nobody = UserId::new("999");
    unlisted.user = Some(&nobody);
    assert_eq!(store.rotate(&unlisted).await.unwrap(), Rotated::Done);
    assert_eq!(store.refresh_state("j2").await.unwrap().record.expect("recorded").session, None);
}

#[tokio::test]
async fn blacklists_once_and_ends_the_session_if_asked() {
    let place = Place::new();
    let store = place.store().await;
    logged_in(&store, "j1").await;
    assert!(store.blacklist(old("j1"), Some(ending(NOW))).await.unwrap().is_some());
    assert!(store.blacklist(old("j1"), Some(ending(NOW))).await.unwrap().is_none());
    let state = store.refresh_state("j1").await.unwrap();
    assert!(state.blacklisted && state.record.expect("recorded").session.expect("a session").ended);
    assert!(store.blacklist(old("unknown to all"), None).await.unwrap().is_some());
}

#[tokio::test]
async fn rows_leave_a_day_after_their_expiry() {
    let place = Place::new();
    let store = place.store().await;
    logged_in(&store, "j1").await;
    store.blacklist(old("j1"), None).await.unwrap();
    for (seconds, kept) in [(86_400, true), (86_401, false)] {
        assert_eq!(store.purge(UnixTime(LATER.0 + seconds)).await.unwrap() == 0, kept);
        let state = store.refresh_state("j1").await.unwrap();
        assert_eq!((state.blacklisted, state.record.is_some()), (kept, kept), "{seconds}");
    }
    assert_eq!(store.session("s1").await.unwrap(), None);
    assert_eq!(store.purge(UnixTime(LATER.0 + 86_401)).await.unwrap(), 0, "nothing is left");
}

#[tokio::test]
async fn a_purge_takes_a_few_rows_at_a_time() {
    let place = Place::new();
    let store = place.store().await;
    let fill = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1200) \
                INSERT INTO blacklist SELECT n, 0 FROM n";
    store.write(move |writer| writer.execute(fill, [])).await.unwrap();
    for removed in [500, 500, 200, 0] {
        assert_eq!(store.purge(NOW).await.unwrap(), removed);
    }
}

#[tokio::test]
async fn a_locked_database_is_unavailable_in_time_and_recovers() {
    let place = Place::new();
    let store = place.store().await;
    let mut stranger = place.stranger().await;
    stranger.execute("BEGIN IMMEDIATE").await.unwrap();
    let start = Instant::now();
    let calls: Vec<_> = (0..5).map(|_| ada()).collect();
    for outcome in join_all(calls.iter().map(|user| store.add_user(user, NOW))).await {
        assert!(matches!(outcome, Err(StoreError::Unavailable { .. })), "{outcome:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    stranger.execute("ROLLBACK").await.unwrap();
    store.add_user(&ada(), NOW).await.expect("the lock is gone");
}

#[tokio::test]
async fn a_database_that_is_gone_is_unavailable_and_recovers() {
    let place = Place::new();
    let store = place.store().await;
    store.add_user(&ada(), NOW).await.unwrap();
    let (here, elsewhere) = (place.folder.path().join("data"), place.folder.path().join("away"));
    fs::rename(&here, &elsewhere).unwrap();
    let read = store.user_by_name("ada").await;
    assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{read:?}");
    let written = store.set_active("ada", false).await;
    assert!(matches!(written, Err(StoreError::Unavailable { .. })), "{written:?}");
    fs::rename(&elsewhere, &here).unwrap();
    assert!(store.set_active("ada", false).await.expect("it is back"));
    assert!(!store.user_by_name("ada").await.unwrap().expect("ada").active);
}

#[tokio::test]
async fn another_file_in_its_place_is_taken_for_what_it_is() {
    let place = Place::new();
    let other = Place::new();
    let store = place.store().await;
    store.add_user(&ada(), NOW).await.unwrap();
    drop(other.store().await);
    fs::rename(place.folder.path().join("data"), place.folder.path().join("away")).unwrap();
    fs::rename(other.folder.path().join("data"), place.folder.path().join("data")).unwrap();
    assert!(store.user_by_name("ada").await.unwrap().is_none());
}
