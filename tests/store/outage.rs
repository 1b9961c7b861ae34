//! A server that stops while the store is in use, and one that is not there yet.

use std::time::{Duration, Instant};

use tollgate::store::{
    Login, Missing, NewSession, OpenError, Rotated, StoreError, Unanswered, UserId, open_store,
};

use crate::support::{DatabaseKind, DatabaseServer};
use crate::{NOW, database, log_in, rotation, token};

pub(crate) async fn all(kind: Option<DatabaseKind>) {
    let mut server = DatabaseServer::start(kind.expect("a server")).await;
    let here = database(&server.url());
    let store = open_store(&here, Missing::Create, Unanswered::Refuse).await.unwrap();
    log_in(&*store, "s1", &UserId::new("7"), &token("j1")).await;
    let new = token("j2");

    server.stop();
    let start = Instant::now();
    let rotated = store.rotate(&rotation("j1", &new)).await;
    assert!(matches!(rotated, Err(StoreError::Unavailable { .. })), "{rotated:?}");
    assert!(store.revocations_after(0).await.is_err());
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let opened = open_store(&here, Missing::Create, Unanswered::Refuse).await;
    assert!(matches!(opened, Err(OpenError::Store(_))), "{:?}", opened.err());
    let patient = open_store(&here, Missing::Create, Unanswered::Wait).await.unwrap();
    assert!(matches!(patient.session("s1").await, Err(StoreError::Unavailable { .. })));

    server.run().await;
    assert_eq!(store.rotate(&rotation("j1", &new)).await.unwrap(), Rotated::Done, "it is back");
    assert!(store.user_by_name("ada").await.unwrap().is_none());
    let start = Instant::now();
    while patient.session("s1").await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(10), "it is not asked again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(patient.session("s1").await.unwrap().is_some());
    assert!(patient.note_access("s1", crate::ACCESS).await.unwrap());

    a_newer_version(&server).await;
    let nowhere = database(&server.url_of("nowhere"));
    let opened = open_store(&nowhere, Missing::Create, Unanswered::Wait).await;
    let error = opened.err().expect("there is no such database");
    assert!(matches!(error, OpenError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("/nowhere"), "{error}");
    assert_eq!(
        store.end(tollgate::store::Which::Session("s1"), crate::ending(NOW)).await.unwrap().sessions.len(),
        1
    );
}

/// A gateway that died while it made the tables, after each of them.
pub(crate) async fn broken_off(kind: Option<DatabaseKind>) {
    const TABLES: [&str; 9] = [
        "users",
        "sessions",
        "refresh_tokens",
        "blacklist",
        "access_tokens",
        "revocations",
        "counters",
        "login_locks",
        "secrets",
    ];
    let server = DatabaseServer::start(kind.expect("a server")).await;
    for made in 0..=TABLES.len() {
        let name = format!("case{made}");
        server.execute(&format!("CREATE DATABASE {name}"));
        let here = database(&server.url_of(&name));
        let store = open_store(&here, Missing::Create, Unanswered::Refuse).await.unwrap();
        drop(store);
        let missing = [&TABLES[made..], &["known_users"]].concat();
        let step = if made == 0 { 1 } else { 2 };
        server.execute(&format!(
            "USE {name}; SET foreign_key_checks = 0; DROP TABLE {}; DELETE FROM _sqlx_migrations WHERE version > {step}; \
             UPDATE _sqlx_migrations SET success = FALSE WHERE version = {step}",
            missing.join(", ")
        ));
        if made > 7 {
            server.execute(&format!("DELETE FROM {name}.login_locks WHERE number > 99"));
        }
        let store = open_store(&here, Missing::Create, Unanswered::Refuse).await.expect("taken again");
        let user = UserId::new("7");
        log_in(&*store, "s1", &user, &token("j1")).await;
        let session = NewSession { sid: "s2".to_owned(), user, started_at: NOW };
        let refresh = token("j2");
        let (most, ending) = (Some(1), crate::ending(NOW));
        let login = Login {
            session: &session,
            refresh: &refresh,
            access: crate::ACCESS,
            replaces: None,
            most,
            ending,
        };
        assert_eq!(store.start_session(&login).await.unwrap().sessions.len(), 1, "{made} tables");
        assert!(store.recall("7").await.unwrap().is_none());
        // An error unless they are all there.
        let all = format!("SELECT IF(COUNT(*) = 256, 1, (SELECT 1 UNION SELECT 2)) FROM {name}.login_locks");
        server.execute(&all);
    }
}

async fn a_newer_version(server: &DatabaseServer) {
    server.execute(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (999, 'from the future', true, '00', 0)",
    );
    let opened = open_store(&database(&server.url()), Missing::Create, Unanswered::Wait).await;
    let error = opened.err().expect("it is newer");
    assert!(matches!(error, OpenError::Migration { .. }), "{error:?}");
}
