//! How often the store is asked about users behind tokens.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

use crate::support::{DatabaseKind, Protocol, within};
use crate::{Site, login, status};

const AT_ONCE: usize = 32;

/// Counts each look at a user, outside of transactions.
const COUNTED: &str = "
    CREATE SEQUENCE looks MINVALUE 0 START 0;
    SELECT nextval('looks');
    CREATE FUNCTION looked() RETURNS boolean LANGUAGE plpgsql AS
        $$ BEGIN PERFORM nextval('looks'); RETURN true; END $$;
    ALTER TABLE users RENAME TO real_users;
    CREATE VIEW users AS SELECT * FROM real_users WHERE looked();
";

async fn looks(database: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT last_value FROM looks").fetch_one(database).await.unwrap()
}

/// The store is held until all have asked.
pub(crate) async fn one_question_for_all_of_one_user() {
    for (max_age, expected) in [("1h", 1), ("0s", AT_ONCE)] {
        let site = Site::with(DatabaseKind::Postgres, |file| {
            file.set("server.workers", json!(1))
                .set("routes.0.auth.user_check", json!({ "max_age": max_age }))
        })
        .await;
        let connection = site.gate.client(Protocol::Http2).connect().await;
        let access = login(&connection).await.access;
        let server = PgConnectOptions::new().socket(site.server.socket()).username("site").database("site");
        let mut holder = server.connect().await.unwrap();
        let mut database = server.connect().await.unwrap();
        database.execute(COUNTED).await.unwrap();
        let mut held = holder.begin().await.unwrap();
        held.execute("LOCK TABLE real_users IN ACCESS EXCLUSIVE MODE").await.unwrap();

        let requests = join_all((0..AT_ONCE).map(|_| status(&connection, &access)));
        let release = async {
            within("a question waits", async {
                let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
                while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut database).await.unwrap() == 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
            // It came after all of theirs, on the same connection and to the same worker.
            assert_eq!(connection.get("/").await.status, 401);
            held.rollback().await.unwrap();
        };
        let (statuses, ()) = tokio::join!(requests, release);
        assert_eq!(statuses, [200; AT_ONCE]);
        assert_eq!(looks(&mut database).await, i64::try_from(expected).unwrap(), "max_age: {max_age}");
    }
}
