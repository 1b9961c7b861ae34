//! Refresh tokens that come more than once: browser tabs that ask at the same time, answers that got lost, thieves,
//! and a gateway that dies in the midst of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::Notify;

use crate::session::claims;
use crate::support::{Config, Connection, Home, Protocol};
use crate::{Pair, Site, assert_refused, login, pair, refresh};

const EVENTS: &str = "tollgate_session_events_total";
/// So often a gateway is killed until one dies between a commit and its answer.
const MOST_KILLS: usize = 20;

async fn connections(site: &Site, number: usize) -> Vec<Connection> {
    let client = site.gate.client(Protocol::Http2);
    join_all((0..number).map(|_| client.connect())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn of_64_refreshes_at_once_all_get_the_same_successor_200_times() {
    let site = Site::start().await;
    let connections = connections(&site, 8).await;
    let sessions = [login(&connections[0]).await, login(&connections[1]).await];
    let mut tokens: Vec<String> = sessions.iter().map(|pair| pair.refresh.clone()).collect();
    for round in 0..200 {
        let token = &mut tokens[round % 2];
        let answers = join_all((0..64).map(|index| refresh(&connections[index % 8], token))).await;
        let pairs: Vec<Pair> = answers.iter().map(pair).collect();
        let said = |text: fn(&Pair) -> &str| -> HashSet<String> {
            pairs.iter().map(|pair| claims(text(pair)).to_string()).collect()
        };
        assert_eq!(said(|pair| &pair.refresh).len(), 1, "round {round}: one successor");
        assert_eq!(said(|pair| &pair.access).len(), 1, "round {round}: one access token");
        // Any of them: signatures differ.
        pairs[round % 64].refresh.clone_into(token);
    }
    for (session, token) in sessions.iter().zip(&tokens) {
        assert_eq!(claims(&session.refresh)["sid"], claims(token)["sid"]);
        pair(&refresh(&connections[0], token).await);
    }
    let used = [("event", "reuse_grace")];
    let metrics =
        site.gate.metrics_until("the repetitions", |metrics| metrics.sum(EVENTS, &used) >= 12_600.0).await;
    assert_eq!(metrics.sum(EVENTS, &used), 12_600.0, "each use of the grace is counted");
    assert_eq!(metrics.sum(EVENTS, &[("event", "ended_by_reuse")]), 0.0);
    let told = |line: &String| line.contains("a refresh was repeated within its grace");
    assert!(site.gate.lines().iter().filter(|line| told(line)).count() >= 12_600);
}

#[tokio::test]
async fn a_replay_after_the_grace_ends_exactly_that_session() {
    let file = |file: Config| file.set("issuer.reuse_grace", json!("1s"));
    let site = Site::start_with(file, Home::generate_key).await;
    let connection = site.connect().await;
    let (victim, other) = (login(&connection).await, login(&connection).await);
    let second = pair(&refresh(&connection, &victim.refresh).await);
    let start = Instant::now();
    // Only time ends a grace. What a session gets until then is looked at on the way.
    loop {
        let answer = refresh(&connection, &victim.refresh).await;
        if answer.status == 401 {
            break;
        }
        assert_eq!(claims(&pair(&answer).refresh), claims(&second.refresh));
        assert!(start.elapsed() < Duration::from_secs(10), "the grace does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(start.elapsed() > Duration::from_secs(1));
    for access in [&victim.access, &second.access] {
        assert_refused(&connection.get("/").bearer(access).await, 401, "invalid_token");
    }
    assert_refused(&refresh(&connection, &second.refresh).await, 401, "token_not_valid");
    assert_eq!(connection.get("/").bearer(&other.access).await.status, 200);
    pair(&refresh(&connection, &other.refresh).await);
    let reused = [("event", "ended_by_reuse")];
    site.gate.metrics_until("the event", |metrics| metrics.sum(EVENTS, &reused) >= 1.0).await;
    let sid = claims(&second.refresh)["sid"].as_str().unwrap().to_owned();
    let told = |line: &String| line.contains("was used again") && line.contains(&sid);
    assert_eq!(site.gate.lines().iter().filter(|line| told(line)).count(), 1);
}

/// Refreshes a session again and again; returns the last token that it got, and whether the end came amid a request.
async fn refresh_until_the_end(connection: Connection, mut token: String, count: Arc<Counted>) -> String {
    loop {
        let request = connection.post("/api/token/refresh/").json(json!({ "refresh": token }));
        let Ok(answer) = request.try_send().await else { return token };
        if answer.status != 200 {
            return token;
        }
        token = pair(&answer).refresh;
        count.one_more();
    }
}

struct Counted {
    done: AtomicUsize,
    wanted: usize,
    reached: Notify,
}

impl Counted {
    fn one_more(&self) {
        if self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.wanted {
            self.reached.notify_one();
        }
    }
}

/// Kills a gateway amid the refreshes of 32 sessions, and counts those whose last token that arrived is still good, and
/// those whose next one was written and its answer lost.
#[expect(clippy::disallowed_methods, reason = "the clients run beside the test")]
async fn killed_amid_refreshes(grace: &str) -> (usize, usize) {
    let file =
        |file: Config| file.set("issuer.reuse_grace", json!(grace)).set("issuer.on_reuse", json!("refuse"));
    let mut site = Site::start_with(file, Home::generate_key).await;
    let count = Arc::new(Counted { done: AtomicUsize::new(0), wanted: 500, reached: Notify::new() });
    let mut tasks = Vec::new();
    for connection in connections(&site, 32).await {
        let token = login(&connection).await.refresh;
        tasks.push(tokio::spawn(refresh_until_the_end(connection, token, Arc::clone(&count))));
    }
    count.reached.notified().await;
    site.gate.restart("KILL").await;
    let connection = site.connect().await;
    let mut database = crate::outage::stranger(&site).await;
    let (mut old, mut new) = (0, 0);
    for task in tasks {
        let token = task.await.unwrap();
        let sid = claims(&token)["sid"].as_str().unwrap().to_owned();
        let living: Vec<String> =
            sqlx::query_scalar("SELECT jti FROM refresh_tokens WHERE sid = ? AND state = 'live'")
                .bind(&sid)
                .fetch_all(&mut database)
                .await
                .unwrap();
        assert_eq!(living.len(), 1, "one token of each session is good: {living:?}");
        let has_old = claims(&token)["jti"] == *living[0];
        let answer = refresh(&connection, &token).await;
        match (has_old, grace) {
            (true, _) => {
                old += 1;
                pair(&answer);
            }
            // Its answer was lost, and the grace gives it once more.
            (false, "10s") => {
                new += 1;
                let again = pair(&answer).refresh;
                assert_eq!(claims(&again)["jti"], *living[0]);
                pair(&refresh(&connection, &again).await);
            }
            (false, _) => {
                new += 1;
                assert_eq!(answer.status, 401);
            }
        }
    }
    (old, new)
}

/// Without a grace a session whose answer was lost is told apart from one that was not refreshed: by its row.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn killed_amid_1000_refreshes_each_session_has_its_old_token_or_its_new_one() {
    for grace in ["10s", "0s"] {
        let mut found = (0, 0);
        // A kill may come while no answer is on its way.
        for _ in 0..MOST_KILLS {
            let (old, new) = killed_amid_refreshes(grace).await;
            found = (found.0 + old, found.1 + new);
            if found.0 > 0 && found.1 > 0 {
                break;
            }
        }
        assert!(found.0 > 0 && found.1 > 0, "old and new tokens, without which nothing is proved: {found:?}");
    }
}
