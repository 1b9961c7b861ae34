//! A gateway that is killed in the midst of its writes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::Notify;
use tollgate::base::UnixTime;
use tollgate::config;
use tollgate::store::{Missing, Unanswered, Which, open_store};

use crate::support::{Connection, DatabaseKind, Protocol, now};
use crate::{Site, claims, login, pair, refresh};

const SESSIONS: usize = 32;
/// So often a gateway is killed until one dies between a commit and its answer.
const MOST_KILLS: usize = 20;

/// Refreshes a session again and again; returns the last token that it got an answer with.
async fn refresh_until_the_end(
    connection: Connection,
    mut token: String,
    done: Arc<(AtomicUsize, Notify)>,
) -> String {
    loop {
        let request = connection.post("/api/token/refresh/").json(json!({ "refresh": token }));
        match request.try_send().await {
            Ok(answer) if answer.status == 200 => token = pair(&answer).refresh,
            _ => return token,
        }
        if done.0.fetch_add(1, Ordering::Relaxed) + 1 == 500 {
            done.1.notify_one();
        }
    }
}

/// Kills a gateway amid the refreshes of all sessions, and counts those whose last token that arrived is still good, and
/// those whose next one was written and its answer lost.
#[expect(clippy::disallowed_methods, reason = "the clients run beside the test")]
async fn killed_amid_refreshes(kind: DatabaseKind, grace: &str) -> (usize, usize) {
    let mut site = Site::with(kind, |file| {
        file.set("issuer.reuse_grace", json!(grace)).set("issuer.on_reuse", json!("refuse"))
    })
    .await;
    let client = site.gate.client(Protocol::Http2);
    let done = Arc::new((AtomicUsize::new(0), Notify::new()));
    let mut sessions = Vec::new();
    for connection in join_all((0..SESSIONS).map(|_| client.connect())).await {
        let token = login(&connection).await.refresh;
        sessions.push((connection, token));
    }
    let refresh_all =
        |(connection, token)| tokio::spawn(refresh_until_the_end(connection, token, Arc::clone(&done)));
    let tasks: Vec<_> = sessions.into_iter().map(refresh_all).collect();
    done.1.notified().await;
    site.gate.restart("KILL").await;

    let file = format!("issuer: {{ store: '{}' }}", site.server.url());
    let read = config::read_text(&file, Path::new("gateway.yaml"), &|_| None).unwrap();
    let store = read.issuer.unwrap().store;
    let store = open_store(&store, Missing::Refuse, Unanswered::Refuse).await.unwrap();
    let connection = site.connect().await;
    let (mut old, mut new) = (0, 0);
    for task in tasks {
        let token = task.await.unwrap();
        let said = claims(&token);
        let session = Which::Session(said["sid"].as_str().unwrap());
        let living =
            store.live_refresh_tokens(session, UnixTime(i64::try_from(now()).unwrap())).await.unwrap();
        assert_eq!(living.len(), 1, "one token of each session is good: {living:?}");
        let (living, _) = &living[0];
        let answer = refresh(&connection, &token).await;
        if said["jti"] == **living {
            old += 1;
            pair(&answer);
            continue;
        }
        new += 1;
        if grace == "0s" {
            assert_eq!(answer.status, 401, "{}", answer.text());
            continue;
        }
        // Its answer was lost, and the grace gives it once more.
        let again = pair(&answer).refresh;
        assert_eq!(claims(&again)["jti"], **living);
        pair(&refresh(&connection, &again).await);
    }
    (old, new)
}

pub(crate) async fn amid_refreshes(kind: DatabaseKind) {
    for grace in ["10s", "0s"] {
        let mut found = (0, 0);
        // A kill may come while no answer is on its way.
        for _ in 0..MOST_KILLS {
            let (old, new) = killed_amid_refreshes(kind, grace).await;
            found = (found.0 + old, found.1 + new);
            if found.0 > 0 && found.1 > 0 {
                break;
            }
        }
        assert!(found.0 > 0 && found.1 > 0, "old and new tokens, without which nothing is proved: {found:?}");
    }
}
