//! What the gateway's own database holds: of tokens only what tells them again, and nothing for ever.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sqlx::SqliteConnection;

use crate::outage::stranger;
use crate::support::{Config, Home, within};
use crate::{PASSWORD, Pair, Site, blacklist, login, pair, refresh};

/// All that lies in the folder, the database's own log included, and how many files that are.
fn bytes_below(folder: &Path) -> (Vec<u8>, usize) {
    let (mut bytes, mut files) = (Vec::new(), 0);
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        // The keys are files of their own.
        if entry.file_type().unwrap().is_file() {
            bytes.extend(fs::read(entry.path()).unwrap());
            files += 1;
        }
    }
    (bytes, files)
}

fn holds(bytes: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(bytes, what).is_some()
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn in_simplejwt_s_manner(file: Config) -> Config {
    file.set("issuer.compatibility", json!("simplejwt"))
        .set("issuer.signing_key", json!("file:secret"))
        .file("secret", "a-secret-of-at-least-sixty-four-bytes-which-is-what-HS256-deserves")
        .set("issuer.rotate_refresh_tokens", json!(true))
        .set("issuer.blacklist_after_rotation", json!(true))
        .set("issuer.paths", json!({ "sliding_obtain": "/sliding/", "sliding_refresh": "/sliding/refresh/" }))
        .set("providers.local", json!({ "issuer": "any", "keys": { "own": true } }))
}

#[tokio::test]
async fn no_token_and_no_part_of_its_signature_is_in_the_database() {
    for slides in [false, true] {
        let grace = |file: Config| {
            let file = if slides { in_simplejwt_s_manner(file) } else { file };
            file.set("issuer.reuse_grace", json!("60s"))
        };
        let with_key = |home: &Home| {
            if !slides {
                home.generate_key();
            }
        };
        let site = Site::start_with(grace, with_key).await;
        let connection = site.connect().await;
        let first = login(&connection).await;
        let second = pair(&refresh(&connection, &first.refresh).await);
        // In the grace: the row of the successor says what it needs for that.
        let again = pair(&refresh(&connection, &first.refresh).await);
        let third = pair(&refresh(&connection, &again.refresh).await);
        let ended = login(&connection).await;
        assert_eq!(blacklist(&connection, &ended.refresh).await.status, 200);
        let mut tokens: Vec<String> = [first, second, again, third, ended]
            .into_iter()
            .flat_map(|Pair { access, refresh }| [access, refresh])
            .collect();
        if slides {
            let credentials = crate::credentials(crate::USER, PASSWORD);
            let sliding = connection.post("/sliding/").json(credentials).await.json();
            let renewed = connection.post("/sliding/refresh/").json(sliding.clone()).await.json();
            tokens.extend([sliding, renewed].map(|body| body["token"].as_str().expect("a token").to_owned()));
        }

        let (bytes, files) = bytes_below(&site.gate.home.path("data"));
        assert!(files >= 2, "the database and its log");
        for token in &tokens {
            let claims = claims(token);
            let name = claims["jti"].as_str().unwrap();
            // What the store knows of it is what was searched.
            let is_kept = claims["token_type"] == "refresh" || (slides && claims["token_type"] == "access");
            assert!(!is_kept || holds(&bytes, name.as_bytes()), "{claims}");
            let signature = token.rsplit('.').next().unwrap();
            let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
            for (part, what) in
                [(token.as_bytes(), "token"), (signature.as_bytes(), "signature"), (&raw, "bytes of it")]
            {
                assert!(!holds(&bytes, part), "the database holds the {what} of {claims}");
            }
        }
        assert!(!holds(&bytes, PASSWORD.as_bytes()));
    }
}

/// How many rows each table has of the session and its two refresh tokens.
async fn rows(database: &mut SqliteConnection, sid: &str, tokens: [&str; 2]) -> [i64; 4] {
    let mut counts = [0; 4];
    for (count, table) in counts.iter_mut().zip([
        "sessions WHERE sid = ?1",
        "refresh_tokens WHERE jti IN (?2, ?3)",
        "blacklist WHERE jti IN (?2, ?3)",
        "revocations WHERE name = ?1",
    ]) {
        let query = format!("SELECT count(*) FROM {table} AND ?1 || ?2 || ?3 <> ''");
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).bind(sid).bind(tokens[0]).bind(tokens[1]);
        *count = query.fetch_one(&mut *database).await.unwrap();
    }
    counts
}

#[tokio::test]
async fn a_running_gateway_removes_what_says_nothing_any_more_and_nothing_else() {
    let file = |file: Config| file.set("issuer.purge_interval", json!("1s"));
    let site = Site::start_with(file, Home::generate_key).await;
    let connection = site.connect().await;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let first = login(&connection).await;
        let second = pair(&refresh(&connection, &first.refresh).await);
        assert_eq!(blacklist(&connection, &second.refresh).await.status, 200);
        let name = |token: &str, claim: &str| claims(token)[claim].as_str().unwrap().to_owned();
        let names = [name(&first.refresh, "jti"), name(&second.refresh, "jti")];
        sessions.push((name(&first.refresh, "sid"), names, second));
    }
    let alive = login(&connection).await;
    let mut database = stranger(&site).await;
    let [(old, [one, two], token), (young, [three, four], _)] = &sessions[..] else { unreachable!() };
    let before = rows(&mut database, old, [one, two]).await;
    assert!(before.iter().all(|count| *count > 0), "{before:?}");

    // As if ten days had passed for one of them.
    for (table, times, rows) in [
        ("sessions", "ends_at = ends_at - 864000, access_ends_at = access_ends_at - 864000", "sid = ?1"),
        ("refresh_tokens", "expires_at = expires_at - 864000", "sid = ?1"),
        ("blacklist", "expires_at = expires_at - 864000", "jti IN (?2, ?3)"),
        ("revocations", "expires_at = expires_at - 864000", "name = ?1"),
    ] {
        let change = format!("UPDATE {table} SET {times} WHERE {rows} AND ?1 || ?2 || ?3 <> ''");
        let change = sqlx::query(sqlx::AssertSqlSafe(change)).bind(old).bind(one).bind(two);
        assert!(change.execute(&mut database).await.unwrap().rows_affected() > 0, "{table}");
    }
    within("the rows to go", async {
        while rows(&mut database, old, [one, two]).await != [0; 4] {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(rows(&mut database, young, [three, four]).await, before);
    assert_eq!(refresh(&connection, &token.refresh).await.status, 401, "nothing is revived");
    pair(&refresh(&connection, &alive.refresh).await);
}
