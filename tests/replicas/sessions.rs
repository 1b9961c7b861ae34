//! The life of a session, as on SQLite.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Connection, DatabaseKind, Protocol, within};
use crate::{PASSWORD, Site, claims, login, pair, refresh, status, try_login};

/// Asks until the token is refused, and returns how long that took.
async fn until_refused(connection: &Connection, access: &str) -> Duration {
    let start = Instant::now();
    within("the token is refused", async { while status(connection, access).await != 401 {} }).await;
    start.elapsed()
}

pub(crate) async fn begin_go_on_and_end(kind: DatabaseKind) {
    let site = Site::start(kind).await;
    let connection = site.connect().await;
    let run = |arguments: &[&str]| {
        let output = site.gate.home.run(arguments, "");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for name in ["Ada", "ADA", "a\u{0}da", "\u{0}", "äda"] {
        let credentials = json!({ "username": name, "password": PASSWORD });
        let answer = connection.post("/api/token/").json(credentials).await;
        assert!([400, 401].contains(&answer.status.as_u16()), "{name:?}: {}", answer.text());
    }

    let first = login(&connection).await;
    let second = pair(&refresh(&connection, &first.refresh).await);
    assert_eq!(status(&connection, &second.access).await, 200);
    let verified = connection.post("/api/token/verify/").json(json!({ "token": second.refresh })).await;
    assert_eq!(verified.status, 200, "{}", verified.text());
    let other = login(&connection).await;
    assert_eq!(run(&["user", "sessions", "ada"]).lines().count(), 2);

    // A logout ends its session and no other.
    let logout = connection.post("/api/token/logout/").json(json!({ "refresh": second.refresh })).await;
    assert_eq!(logout.status, 200, "{}", logout.text());
    assert_eq!(status(&connection, &second.access).await, 401);
    assert_eq!(refresh(&connection, &second.refresh).await.status, 401);
    assert_eq!(status(&connection, &other.access).await, 200);

    // By command, from another process.
    let third = login(&connection).await;
    let jti = claims(&third.access)["jti"].as_str().unwrap().to_owned();
    run(&["token", "revoke", "--jti", &jti]);
    until_refused(&connection, &third.access).await;
    pair(&refresh(&connection, &third.refresh).await);
    run(&["user", "logout", "ada"]);
    until_refused(&connection, &other.access).await;
    assert_eq!(run(&["user", "sessions", "ada"]), "no session\n");

    let blacklisted = login(&connection).await;
    let body = json!({ "refresh": blacklisted.refresh });
    assert_eq!(connection.post("/api/token/blacklist/").json(body.clone()).await.status, 200);
    assert_eq!(connection.post("/api/token/blacklist/").json(body).await.status, 401);

    let last = login(&connection).await;
    run(&["user", "set", "ada", "--role", "admin", "--claim", "team=\"Zoë's\""]);
    let said = claims(&pair(&refresh(&connection, &last.refresh).await).access);
    assert_eq!(said["team"], "Zoë's");
    run(&["user", "disable", "ada"]);
    until_refused(&connection, &last.access).await;
    assert_eq!(try_login(&connection).await.status, 401);
    run(&["user", "enable", "ada"]);
    login(&connection).await;
    run(&["user", "remove", "ada"]);
    assert_eq!(try_login(&connection).await.status, 401);
    assert_eq!(run(&["user", "list"]), "");
}

pub(crate) async fn replicas_agree(kind: DatabaseKind) {
    let site = Site::start(kind).await;
    let other = site.replica().await;
    let (here, there) = (site.connect().await, other.client(Protocol::Http1).connect().await);
    let first = login(&here).await;
    let second = pair(&refresh(&here, &first.refresh).await);
    // The answer was lost, and the client asks the other one again.
    let again = pair(&refresh(&there, &first.refresh).await);
    assert_eq!(claims(&second.refresh), claims(&again.refresh));
    assert_eq!(claims(&second.access), claims(&again.access));
    assert_eq!(status(&there, &second.access).await, 200);

    let (mut access, mut last) = (second.access, again.refresh);
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        assert_eq!(status(&there, &access).await, 200);
        let everywhere = here.post("/api/token/logout/all/").bearer(&access).await;
        assert_eq!(everywhere.status, 200, "{}", everywhere.text());
        let took = until_refused(&there, &access).await;
        // A second, and what a busy machine adds.
        assert!(took < Duration::from_secs(2), "{took:?}");
        quickest = quickest.min(took);
        assert_eq!(refresh(&there, &last).await.status, 401);
        let next = login(&there).await;
        (access, last) = (next.access, next.refresh);
    }
    assert!(quickest < Duration::from_secs(1), "{quickest:?}");
}
