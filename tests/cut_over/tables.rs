//! SimpleJWT's tables as Django makes them on servers (`tests/data/simplejwt/schema-*.sql`, recorded from real ones).

use std::path::Path;

use tollgate::base::UnixTime;
use tollgate::config::{self, DjangoUsers, Users};
use tollgate::store::{DjangoBlacklist, MirroredToken, StoreError, UserId};

use crate::support::{DatabaseKind, DatabaseServer};

const NOW: UnixTime = UnixTime(1_800_000_000);
/// 2033-05-18 03:33:20 in UTC.
const EXPIRES_AT: UnixTime = UnixTime(2_000_000_000);

fn users(url: &str) -> DjangoUsers {
    let file = format!(
        "issuer: {{ users: {{ django: {{ database: \"{url}\", token_blacklist: {{ mirror: {{ token_text: true }} }} }} }} }}"
    );
    let config = config::read_text(&file, Path::new("gateway.yaml"), &|_| None).unwrap();
    match config.issuer.unwrap().users {
        Users::Django(users) => *users,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn rows_are_written_and_found(kind: DatabaseKind) {
    let server = DatabaseServer::start(kind).await;
    let (schema, zone) = match kind {
        DatabaseKind::Postgres => (include_str!("../data/simplejwt/schema-postgresql.sql"), "+00"),
        DatabaseKind::MariaDb => (include_str!("../data/simplejwt/schema-mysql.sql"), ""),
    };
    server.execute(schema);
    server.execute(
        "INSERT INTO auth_user (id, password, is_superuser, username, first_name, last_name, email, is_staff, \
         is_active, date_joined) VALUES (7, '!', false, 'ada', '', '', '', false, true, '2026-01-01')",
    );
    let users = users(&server.url());
    let tables = users.token_blacklist.clone().unwrap();
    let blacklist = DjangoBlacklist::open(&users, &tables).await.unwrap();
    let user = UserId::new("7");
    let token = MirroredToken { jti: "a", text: "x.y.z", user: Some(&user), expires_at: EXPIRES_AT };
    let unknown = MirroredToken { jti: "b", text: "", user: None, expires_at: EXPIRES_AT };

    for _ in 0..2 {
        blacklist.add(token, NOW).await.unwrap();
        assert!(!blacklist.is_blacklisted("a").await.unwrap());
    }
    for token in [token, unknown] {
        for _ in 0..2 {
            blacklist.blacklist(token, NOW).await.unwrap();
            assert!(blacklist.is_blacklisted(token.jti).await.unwrap(), "{token:?}");
        }
    }
    for nobodys in ["c", "", "a\0", "' OR '1'='1"] {
        assert!(!blacklist.is_blacklisted(nobodys).await.unwrap(), "{nobodys:?}");
    }

    // Only rows that are as Django writes them go.
    for (jti, rest) in [("a", "user_id = 7 AND token = 'x.y.z'"), ("b", "user_id IS NULL AND token = ''")] {
        server.execute(&format!(
            "DELETE FROM token_blacklist_blacklistedtoken WHERE blacklisted_at = '2027-01-15 08:00:00{zone}' AND token_id \
             IN (SELECT id FROM token_blacklist_outstandingtoken WHERE jti = '{jti}' AND {rest} \
             AND created_at = '2027-01-15 08:00:00{zone}' AND expires_at = '2033-05-18 03:33:20{zone}')"
        ));
        assert!(!blacklist.is_blacklisted(jti).await.unwrap(), "{jti}: a row is not as it should be");
    }

    // All of a user that have not expired, and nobody else's.
    let grace = "INSERT INTO auth_user (id, password, is_superuser, username, first_name, last_name, email, is_staff, \
         is_active, date_joined) VALUES (8, '!', false, 'grace', '', '', '', false, true, '2026-01-01')";
    server.execute(grace);
    let other_user = UserId::new("8");
    let all = ["a1", "a2", "expired", "a3", "other"].map(|jti| {
        let user = if jti == "other" { &other_user } else { &user };
        let expires_at = if jti == "expired" { NOW } else { EXPIRES_AT };
        MirroredToken { jti, text: "", user: Some(user), expires_at }
    });
    for token in all {
        blacklist.add(token, NOW).await.unwrap();
    }
    blacklist.blacklist(all[3], NOW).await.unwrap();
    for _ in 0..2 {
        blacklist.blacklist_user(&user, NOW).await.unwrap();
        let mut ended = Vec::new();
        for token in all {
            ended.push(blacklist.is_blacklisted(token.jti).await.unwrap());
        }
        assert_eq!(ended, [true, true, false, true, false]);
    }
    blacklist.blacklist_user(&UserId::new("no key"), NOW).await.unwrap();

    rows_that_are_refused(&server, &blacklist, kind).await;
    server.execute("DROP TABLE token_blacklist_blacklistedtoken");
    let error = DjangoBlacklist::open(&users, &tables).await.unwrap_err();
    assert!(!format!("{error}").is_empty());
}

/// A refusal that is not for the token's own row is none to be content with.
async fn rows_that_are_refused(server: &DatabaseServer, blacklist: &DjangoBlacklist, kind: DatabaseKind) {
    let token = |jti: &'static str, seconds: i64| MirroredToken {
        jti,
        text: "",
        user: None,
        expires_at: UnixTime(EXPIRES_AT.0 + seconds),
    };
    let unavailable = |done: Result<(), StoreError>| matches!(done, Err(StoreError::Unavailable { .. }));
    server.execute("DELETE FROM token_blacklist_blacklistedtoken");
    server.execute("DELETE FROM token_blacklist_outstandingtoken");
    server.execute("CREATE UNIQUE INDEX of_outstanding ON token_blacklist_outstandingtoken (expires_at)");
    server.execute("CREATE UNIQUE INDEX of_blacklisted ON token_blacklist_blacklistedtoken (blacklisted_at)");
    for _ in 0..2 {
        blacklist.blacklist(token("first", 1), NOW).await.unwrap();
    }
    assert!(unavailable(blacklist.add(token("second", 1), NOW).await));
    assert!(unavailable(blacklist.blacklist(token("second", 1), UnixTime(NOW.0 + 1)).await));
    assert!(unavailable(blacklist.blacklist(token("third", 2), NOW).await));
    assert!(!blacklist.is_blacklisted("third").await.unwrap());
    blacklist.blacklist(token("third", 2), UnixTime(NOW.0 + 1)).await.unwrap();
    if kind == DatabaseKind::Postgres {
        let rule = "CREATE RULE nothing AS ON INSERT TO token_blacklist_blacklistedtoken DO INSTEAD NOTHING";
        server.execute(rule);
        assert!(unavailable(blacklist.blacklist(token("fourth", 4), UnixTime(NOW.0 + 2)).await));
    }
}
