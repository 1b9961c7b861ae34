//! What the site is told of, and how fast.

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use crate::mirror::{LOCK, PASSWORD, PENDING, Site, WRITES, jti};
use crate::support::{Config, now};

const BLACKLISTED: &str = "token_blacklist_blacklistedtoken";

/// Both ways of a session, as [`Site::blacklisted`] finds them in any order.
async fn ended(site: &Site, tokens: &[&Value]) -> Vec<usize> {
    let mut ended = site.blacklisted(tokens).await;
    ended.sort_unstable();
    ended
}

/// One row that the site never takes.
pub(crate) async fn a_refused_row_keeps_no_other_back() {
    let site = Site::start(|file| file).await;
    let first = site.log_in().await.json()["refresh"].clone();
    site.server.execute(&format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF (SELECT jti FROM token_blacklist_outstandingtoken WHERE id = NEW.token_id) = '{}' THEN \
         RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON {BLACKLISTED} FOR EACH ROW EXECUTE FUNCTION refuse()",
        jti(&first)
    ));
    let second = site.refresh(&first).await;
    let third = site.refresh(&second).await;
    let written = |at_least: f64| {
        move |metrics: &crate::support::Metrics| metrics.sum(WRITES, &[("outcome", "written")]) >= at_least
    };
    site.gate.metrics_until("the second to be told", written(1.0)).await;
    // From then on the site is told at once again.
    let deferred = site.gate.metrics().await.sum(WRITES, &[("outcome", "deferred")]);
    site.refresh(&third).await;
    assert_eq!(ended(&site, &[&first, &second, &third]).await, [1, 2]);
    let metrics = site.gate.metrics().await;
    assert_eq!(metrics.sum(WRITES, &[("outcome", "deferred")]), deferred);
    assert_eq!(metrics.sum(PENDING, &[]), 1.0, "the first still waits");
}

pub(crate) async fn several_at_a_time() {
    let site = Site::start(|file| file).await;
    // Each row says how many were on their way.
    site.server.execute(&format!(
        "CREATE TABLE seen (number bigint); \
         CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         PERFORM pg_advisory_xact_lock_shared(1); PERFORM pg_sleep(0.1); \
         INSERT INTO seen SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'; RETURN NEW; END $$; \
         CREATE TRIGGER see BEFORE INSERT ON {BLACKLISTED} FOR EACH ROW EXECUTE FUNCTION see()"
    ));
    let mut tokens = vec![site.log_in().await.json()["refresh"].clone()];
    let mut other = site.connect().await;
    other.execute(LOCK).await.unwrap();
    for number in 0..12 {
        let next = site.refresh(&tokens[number]).await;
        tokens.push(next);
    }
    other.execute("ROLLBACK").await.unwrap();
    site.nothing_waits().await;
    let all: Vec<&Value> = tokens.iter().collect();
    assert_eq!(ended(&site, &all).await, Vec::from_iter(0..12));
    let most: i64 = sqlx::query_scalar("SELECT max(number) FROM seen")
        .fetch_one(&mut site.connect().await)
        .await
        .unwrap();
    assert!(most > 1, "one after the other");
}

/// The site was told of the first, then came the second, and then the session ended.
pub(crate) async fn a_refresh_amid_a_logout() {
    let site = Site::start(|file| file).await;
    let first = site.log_in().await.json()["refresh"].clone();
    let mut other = site.connect().await;
    other.execute(LOCK).await.unwrap();
    let logout = site.gate.post("/api/token/logout/").json(json!({ "refresh": first })).spawn();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    let mut watch = site.connect().await;
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut watch).await.unwrap() == 0 {}
    let refresh = site.gate.post("/api/token/refresh/").json(json!({ "refresh": first })).spawn();
    let file = site.gate.home.path("data/tollgate.db");
    let mut store = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    let rotated = "SELECT count(*) FROM refresh_tokens WHERE state = 'rotated'";
    while sqlx::query_scalar::<_, i64>(rotated).fetch_one(&mut store).await.unwrap() == 0 {}
    other.execute("ROLLBACK").await.unwrap();
    let (logout, refresh) = (logout.await.unwrap(), refresh.await.unwrap());
    assert_eq!(logout.status, 200, "{}", logout.text());
    let second = refresh.json()["refresh"].clone();
    site.nothing_waits().await;
    assert_eq!(site.post("refresh", &second).await.status, 401);
    assert_eq!(ended(&site, &[&first, &second]).await, [0, 1]);
}

pub(crate) async fn what_else_is_good() {
    // A sliding token that was renewed after its first end.
    let sliding = |file: Config| {
        file.set("issuer.auth_token_classes", json!(["sliding"]))
            .set("issuer.sliding_token_lifetime", json!("3s"))
            .set("issuer.max_sessions_per_user", json!(1))
            .set(
                "issuer.paths",
                json!({ "sliding_obtain": "/sliding/", "sliding_refresh": "/sliding/refresh/" }),
            )
    };
    let site = Site::start(sliding).await;
    let credentials = json!({ "username": "ada", "password": PASSWORD });
    let log_in = async || site.gate.post("/sliding/").json(credentials.clone()).await.json()["token"].clone();
    let get = async |token: &Value| site.gate.get("/").bearer(token.as_str().unwrap()).await.status;
    let first = log_in().await;
    let mut renewed = first.clone();
    while get(&first).await == 200 {
        let answer = site.gate.post("/sliding/refresh/").json(json!({ "token": renewed })).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        renewed = answer.json()["token"].clone();
    }
    let next = log_in().await;
    site.nothing_waits().await;
    assert_eq!(site.blacklisted(&[&first, &next]).await, [0], "by the limit");

    // A token that is good after its exchange.
    let keeping = |file: Config| {
        file.set("issuer.compatibility", json!("tollgate"))
            .set("issuer.algorithm", json!("HS256"))
            .set("issuer.blacklist_after_rotation", json!(false))
    };
    let site = Site::start(keeping).await;
    let first = site.log_in().await.json()["refresh"].clone();
    let second = site.refresh(&first).await;
    assert_eq!(site.post("blacklist", &second).await.status, 200);
    assert_eq!(ended(&site, &[&first, &second]).await, [0, 1], "by the end of its session");

    // Tokens of the user that only the site knows.
    site.server.execute(
        "INSERT INTO token_blacklist_outstandingtoken (user_id, jti, token, created_at, expires_at) \
         VALUES (7, 'of-the-site', '', now(), now() + interval '1 hour')",
    );
    let of_site = json!(site.old.sign(json!({ "jti": "of-the-site" })));
    let ours = site.log_in().await.json()["refresh"].clone();
    assert_eq!(site.post("logout/all", &ours).await.status, 200);
    assert_eq!(ended(&site, &[&of_site, &ours]).await, [0, 1]);
}

pub(crate) async fn commands() {
    let site = Site::start(|file| file).await;
    let run = |arguments: &[&str], input: &str| {
        let output = site.gate.home.run(arguments, input);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let mut tokens = Vec::new();
    for _ in 0..4 {
        tokens.push(site.log_in().await.json()["refresh"].clone());
    }
    let all: Vec<&Value> = tokens.iter().collect();
    let (code, said) = run(&["token", "revoke"], tokens[0].as_str().unwrap());
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(site.blacklisted(&all).await, [0]);
    let (code, said) = run(&["token", "revoke", "--jti", &jti(&tokens[1])], "");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(site.blacklisted(&all).await, [0, 1]);

    // One that the site could not know yet, and one that it never looks for.
    let claims = |token_type: &str| json!({ "token_type": token_type, "exp": now() + 300, "jti": token_type, "user_id": "7" });
    for token_type in ["access", "refresh"] {
        let (code, said) = run(&["token", "revoke"], &site.old.sign(claims(token_type)));
        assert_eq!(code, Some(0), "{said}");
    }
    let known: Vec<String> = sqlx::query_scalar(
        "SELECT jti FROM token_blacklist_outstandingtoken WHERE jti IN ('access', 'refresh')",
    )
    .fetch_all(&mut site.connect().await)
    .await
    .unwrap();
    assert_eq!(known, ["refresh"]);

    let mut other = site.connect().await;
    other.execute(LOCK).await.unwrap();
    for command in [&["token", "revoke", "--jti", &jti(&tokens[2])][..], &["user", "logout", "--id", "7"]] {
        let (code, said) = run(command, "");
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("run this again"), "{said}");
    }
    other.execute("ROLLBACK").await.unwrap();
    assert_eq!(site.blacklisted(&all).await, [0, 1]);
    let (code, said) = run(&["user", "logout", "--id", "7"], "");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(ended(&site, &all).await, [0, 1, 2, 3]);
}
