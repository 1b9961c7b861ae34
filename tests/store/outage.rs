//! A server that stops while the store is in use, and one that is not there yet.

use std::time::{Duration, Instant};

use tollgate::store::{Missing, OpenError, Rotated, StoreError, Unanswered, UserId, open_store};

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

async fn a_newer_version(server: &DatabaseServer) {
    server.execute(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (999, 'from the future', true, '00', 0)",
    );
    let opened = open_store(&database(&server.url()), Missing::Create, Unanswered::Wait).await;
    let error = opened.err().expect("it is newer");
    assert!(matches!(error, OpenError::Migration { .. }), "{error:?}");
}
