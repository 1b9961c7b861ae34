//! A database server that stops and comes back.

use crate::support::{Answer, Connection, DatabaseKind, within};
use crate::{Site, login, pair, refresh, status, try_login};

fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.json()["code"], "store_unavailable");
    assert!(answer.headers.contains_key("retry-after"));
}

async fn until_login(connection: &Connection) {
    within("the database is used again", async { while try_login(connection).await.status != 200 {} }).await;
}

pub(crate) async fn told_until_it_is_back(kind: DatabaseKind) {
    let mut site = Site::start(kind).await;
    let connection = site.connect().await;
    let tokens = login(&connection).await;
    site.server.stop();
    assert_unavailable(&try_login(&connection).await);
    assert_unavailable(&refresh(&connection, &tokens.refresh).await);
    assert_eq!(status(&connection, &tokens.access).await, 200, "routes need no database");

    site.server.run().await;
    until_login(&connection).await;
    // What was refused has not been done by half.
    pair(&refresh(&connection, &tokens.refresh).await);
}

pub(crate) async fn starts_without(kind: DatabaseKind) {
    let mut site = Site::start(kind).await;
    let tokens = login(&site.connect().await).await;
    site.server.stop();
    site.gate.restart("TERM").await;
    let connection = site.connect().await;
    assert_unavailable(&try_login(&connection).await);
    // Nobody can say which tokens were ended while it was down.
    assert_eq!(status(&connection, &tokens.access).await, 503);

    site.server.run().await;
    until_login(&connection).await;
    within("revocations are loaded", async { while status(&connection, &tokens.access).await != 200 {} })
        .await;
}
