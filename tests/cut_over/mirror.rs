//! The site's blacklist while its database fails in the midst of things: who is logged out, and what a roll-back would let
//! pass. The tables are those that Django makes (`tests/data/simplejwt/schema-*.sql`).

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tollgate::base::Algorithm;

use crate::support::{
    Answer, Config, DatabaseKind, DatabaseServer, Home, Idp, Tollgate, Upstream, config, now,
};

pub(crate) const PASSWORD: &str = "correct-horse";
pub(crate) const WRITES: &str = "tollgate_mirror_writes_total";
pub(crate) const PENDING: &str = "tollgate_mirror_pending";

/// A site on PostgreSQL with the user `ada`, and a gateway in its place.
pub(crate) struct Site {
    pub(crate) server: DatabaseServer,
    pub(crate) gate: Tollgate,
    pub(crate) old: Idp,
    _app: Upstream,
}

impl Site {
    pub(crate) async fn start(change: impl FnOnce(Config) -> Config) -> Self {
        let server = DatabaseServer::start(DatabaseKind::Postgres).await;
        server.execute(include_str!("../data/simplejwt/schema-postgresql.sql"));
        server.execute(&format!(
            "INSERT INTO auth_user (id, password, is_superuser, username, first_name, last_name, email, is_staff, \
             is_active, date_joined) VALUES (7, 'md5$salt$' || md5('salt{PASSWORD}'), false, 'ada', '', '', '', false, \
             true, '2026-01-01')"
        ));
        let (app, old) = (Upstream::echo().await, Idp::new(Algorithm::HS256));
        let file = config()
            .issuer()
            .set("issuer.compatibility", json!("simplejwt"))
            .set("issuer.signing_key", json!("file:secret"))
            .file("secret", old.secret())
            .set("issuer.rotate_refresh_tokens", json!(true))
            .set("issuer.blacklist_after_rotation", json!(true))
            .set(
                "issuer.users",
                json!({ "django": {
                    "database": server.url(),
                    "hashers": ["pbkdf2_sha256", "md5"],
                    "rewrite_hashes": false,
                    "token_blacklist": { "mirror": true },
                } }),
            )
            .set("providers.local", json!({ "issuer": "any", "keys": { "own": true } }))
            .route("/*", "local", &app);
        let home: Home = change(file).into();
        Self { gate: Tollgate::start(home).await, server, old, _app: app }
    }

    pub(crate) async fn log_in(&self) -> Answer {
        let answer =
            self.gate.post("/api/token/").json(json!({ "username": "ada", "password": PASSWORD })).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer
    }

    pub(crate) async fn post(&self, endpoint: &str, token: &Value) -> Answer {
        self.gate.post(&format!("/api/token/{endpoint}/")).json(json!({ "refresh": token })).await
    }

    pub(crate) async fn refresh(&self, token: &Value) -> Value {
        let answer = self.post("refresh", token).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["refresh"].clone()
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.server.url()).await.unwrap()
    }

    /// Which of these tokens the site would refuse, in the order in which it was told; and that it knows all of them.
    pub(crate) async fn blacklisted(&self, tokens: &[&Value]) -> Vec<usize> {
        let mut database = self.connect().await;
        let known: Vec<String> = sqlx::query_scalar("SELECT jti FROM token_blacklist_outstandingtoken")
            .fetch_all(&mut database)
            .await
            .unwrap();
        let ended: Vec<String> = sqlx::query_scalar(
            "SELECT o.jti FROM token_blacklist_blacklistedtoken b \
             JOIN token_blacklist_outstandingtoken o ON o.id = b.token_id ORDER BY b.id",
        )
        .fetch_all(&mut database)
        .await
        .unwrap();
        let names: Vec<String> = tokens.iter().map(|token| jti(token)).collect();
        assert!(
            names.iter().all(|jti| known.contains(jti)),
            "the site knows {known:?}, not all of {names:?}"
        );
        ended.iter().filter_map(|jti| names.iter().position(|name| name == jti)).collect()
    }

    pub(crate) async fn nothing_waits(&self) {
        self.gate.metrics_until("the site to be told", |metrics| metrics.sum(PENDING, &[]) == 0.0).await;
    }
}

pub(crate) fn jti(token: &Value) -> String {
    use base64::Engine as _;
    let payload = token.as_str().expect("a token").split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice::<Value>(&payload).unwrap()["jti"].as_str().unwrap().to_owned()
}

pub(crate) const LOCK: &str = "BEGIN; LOCK TABLE token_blacklist_blacklistedtoken IN EXCLUSIVE MODE";

pub(crate) async fn what_a_locked_table_did_not_take_is_told() {
    let site = Site::start(|file| file).await;
    let first = site.log_in().await.json()["refresh"].clone();
    let mut other = site.connect().await;
    other.execute(LOCK).await.unwrap();
    let second = site.refresh(&first).await;
    let start = Instant::now();
    let third = site.refresh(&second).await;
    assert!(
        start.elapsed() < Duration::from_millis(1_500),
        "nobody else waits for the site: {:?}",
        start.elapsed()
    );
    assert_eq!(site.blacklisted(&[&first, &second, &third]).await, [0_usize; 0]);
    // The gateway itself refuses what it ended.
    assert_eq!(site.post("refresh", &first).await.status, 401);
    let metrics = site.gate.metrics().await;
    assert_eq!((metrics.sum(PENDING, &[]), metrics.sum(WRITES, &[("outcome", "deferred")])), (2.0, 2.0));

    // What a client asks to be ended is ended on both sides or on none.
    let refused = site.post("blacklist", &third).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    other.execute("ROLLBACK").await.unwrap();
    site.nothing_waits().await;
    let mut told = site.blacklisted(&[&first, &second, &third]).await;
    told.sort_unstable();
    assert_eq!(told, [0, 1]);
    let metrics = site.gate.metrics().await;
    assert_eq!(metrics.sum(WRITES, &[("outcome", "written")]), 2.0);
    assert_eq!(metrics.sum(WRITES, &[("outcome", "lost")]), 0.0);
    assert_eq!(site.post("blacklist", &third).await.status, 200);
    assert_eq!(site.blacklisted(&[&third]).await, [0]);
}

pub(crate) async fn a_server_that_stops_and_starts_again_is_told() {
    let mut site = Site::start(|file| file.set("server.shutdown_grace", json!("5s"))).await;
    let first = site.log_in().await.json()["refresh"].clone();
    let mut other = site.connect().await;
    other.execute(LOCK).await.unwrap();
    let second = site.refresh(&first).await;
    site.server.stop();
    // Nobody's token is spent meanwhile.
    for endpoint in ["refresh", "blacklist"] {
        assert_eq!(site.post(endpoint, &second).await.status, 503);
    }
    site.server.run().await;
    site.nothing_waits().await;
    assert_eq!(site.blacklisted(&[&first, &second]).await, [0]);
    let third = site.refresh(&second).await;
    assert_eq!(site.blacklisted(&[&first, &second, &third]).await, [0, 1]);
}

pub(crate) async fn the_end_of_the_gateway_waits_for_the_site_and_says_what_is_lost() {
    for is_given_back in [true, false] {
        let site = Site::start(|file| file).await;
        let first = site.log_in().await.json()["refresh"].clone();
        let mut other = site.connect().await;
        other.execute(LOCK).await.unwrap();
        site.refresh(&first).await;
        site.gate.terminate();
        let Site { gate, server, .. } = site;
        if is_given_back {
            gate.lines_until("the drain", |lines| lines.iter().any(|line| line.contains("stopping"))).await;
            other.execute("ROLLBACK").await.unwrap();
        }
        let finished = gate.finish().await;
        let lost: Vec<&String> =
            finished.lines.iter().filter(|line| line.contains("not in the site's blacklist")).collect();
        assert_eq!(lost.is_empty(), is_given_back, "{:?}", finished.lines);
        assert!(lost.iter().all(|line| line.contains(&jti(&first))), "{lost:?}");
        drop(other);
        let mut database = PgConnection::connect(&server.url()).await.unwrap();
        let told: i64 = sqlx::query_scalar("SELECT count(*) FROM token_blacklist_blacklistedtoken")
            .fetch_one(&mut database)
            .await
            .unwrap();
        assert_eq!(told, i64::from(is_given_back));
    }
}

pub(crate) async fn sessions_that_the_gateway_ends_by_itself_end_at_the_site() {
    let change = |file: Config| {
        file.set("issuer.max_sessions_per_user", json!(2)).set("issuer.on_reuse", json!("end_session"))
    };
    let site = Site::start(change).await;
    let oldest = site.log_in().await.json()["refresh"].clone();
    let robbed = site.log_in().await.json()["refresh"].clone();
    let newest = site.log_in().await.json()["refresh"].clone();
    site.nothing_waits().await;
    // Both are of the same second, perhaps: either is the oldest then.
    let robbed = match site.blacklisted(&[&oldest, &robbed, &newest]).await[..] {
        [0] => robbed,
        [1] => oldest,
        ref other => panic!("by the limit one of the two older ones ends: {other:?}"),
    };

    let next = site.refresh(&robbed).await;
    assert_eq!(site.post("refresh", &robbed).await.status, 401);
    site.nothing_waits().await;
    assert_eq!(site.blacklisted(&[&robbed, &next, &newest]).await, [0, 1], "by reuse");
}

pub(crate) async fn rows_hold_a_text_only_where_the_file_says_so() {
    for mirror in [json!(true), json!({ "token_text": false }), json!({ "token_text": true })] {
        let has_text = mirror["token_text"] == true;
        let key = "issuer.users.django.token_blacklist.mirror";
        let site = Site::start(|file| file.set(key, mirror.clone())).await;
        let first = site.log_in().await.json()["refresh"].clone();
        let second = site.refresh(&first).await;
        let third = site.refresh(&second).await;
        assert_eq!(site.post("logout", &third).await.status, 200);
        site.nothing_waits().await;
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT jti, token FROM token_blacklist_outstandingtoken ORDER BY id")
                .fetch_all(&mut site.connect().await)
                .await
                .unwrap();
        let expected = [&first, &second, &third].map(|token| {
            let text = if has_text { token.as_str().expect("a token") } else { "" };
            (jti(token), text.to_owned())
        });
        assert_eq!(rows, expected, "{mirror}");
    }
}

pub(crate) async fn logouts_end_at_the_site() {
    let site = Site::start(|file| file).await;
    let one = site.log_in().await.json()["refresh"].clone();
    let [two, three] = [site.log_in().await.json(), site.log_in().await.json()];
    assert_eq!(site.post("logout", &one).await.status, 200);
    let all = [&one, &two["refresh"], &three["refresh"]];
    assert_eq!(site.blacklisted(&all).await, [0]);
    let access = two["access"].as_str().unwrap();
    assert_eq!(site.gate.post("/api/token/logout/all/").bearer(access).await.status, 200);
    let mut ended = site.blacklisted(&all).await;
    ended.sort_unstable();
    assert_eq!(ended, [0, 1, 2]);
    for token in all {
        assert_eq!(site.post("refresh", token).await.status, 401);
    }

    // One that the site itself issued.
    let of_site = site.old.sign_with(
        json!({ "alg": "HS256", "typ": "JWT" }),
        json!({ "token_type": "refresh", "exp": now() + 3600, "iat": now(), "jti": "of-the-site", "user_id": "7" }),
    );
    assert_eq!(site.post("logout", &json!(of_site)).await.status, 200);
    assert_eq!(site.blacklisted(&[&json!(of_site)]).await, [0]);
    assert_eq!(site.post("refresh", &json!(of_site)).await.status, 401);
}

/// The site ended the token, and then the gateway's own database did not answer.
pub(crate) async fn a_logout_that_was_done_by_half_can_be_done_again() {
    let site = Site::start(|file| file).await;
    let pair = site.log_in().await.json();
    let access = pair["access"].as_str().unwrap();
    assert_eq!(site.gate.get("/").bearer(access).await.status, 200);
    let mut store = sqlx::SqliteConnection::connect(&format!(
        "sqlite://{}",
        site.gate.home.path("data/tollgate.db").display()
    ))
    .await
    .unwrap();
    store.execute("BEGIN IMMEDIATE").await.unwrap();
    assert_eq!(site.post("logout", &pair["refresh"]).await.status, 503);
    store.execute("ROLLBACK").await.unwrap();
    assert_eq!(site.blacklisted(&[&pair["refresh"]]).await, [0]);
    assert_eq!(site.post("refresh", &pair["refresh"]).await.status, 401, "refused on both sides");
    assert_eq!(site.gate.get("/").bearer(access).await.status, 200, "the session lives");
    assert_eq!(site.post("logout", &pair["refresh"]).await.status, 200);
    assert_eq!(site.gate.get("/").bearer(access).await.status, 401);
}

/// A sliding token is all that its client has.
pub(crate) async fn sliding_tokens_end_on_both_sides() {
    let change = |file: Config| {
        file.set("issuer.auth_token_classes", json!(["sliding"]))
            .set(
                "issuer.paths",
                json!({ "sliding_obtain": "/sliding/", "sliding_refresh": "/sliding/refresh/" }),
            )
            .set("routes.0.auth.user_check", json!({ "max_age": "0s" }))
    };
    let site = Site::start(change).await;
    let credentials = json!({ "username": "ada", "password": PASSWORD });
    let log_in = async || site.gate.post("/sliding/").json(credentials.clone()).await.json()["token"].clone();
    let renew =
        async |token: &Value| site.gate.post("/sliding/refresh/").json(json!({ "token": token })).await;
    let get = async |token: &Value| site.gate.get("/").bearer(token.as_str().unwrap()).await.status;

    // By the site.
    let token = log_in().await;
    let renewed = renew(&token).await.json()["token"].clone();
    assert_eq!((get(&token).await, get(&renewed).await), (200.try_into().unwrap(), 200.try_into().unwrap()));
    site.server.execute(&format!(
        "INSERT INTO token_blacklist_blacklistedtoken (token_id, blacklisted_at) \
         SELECT id, now() FROM token_blacklist_outstandingtoken WHERE jti = '{}'",
        jti(&token)
    ));
    for token in [&token, &renewed] {
        assert_eq!(get(token).await, 401);
        assert_eq!(renew(token).await.status, 401);
    }

    // By a logout: with a copy that was renewed, and with one of the site's own.
    let first = log_in().await;
    let renewed = renew(&first).await.json()["token"].clone();
    let of_site = json!(site.old.sign_with(
        json!({ "alg": "HS256", "typ": "JWT" }),
        json!({
            "token_type": "sliding", "exp": now() + 300, "iat": now(), "jti": "of-the-site", "user_id": "7",
            "refresh_exp": now() + 3600,
        }),
    ));
    for (token, others) in [(&renewed, vec![&first, &renewed]), (&of_site, vec![&of_site])] {
        assert_eq!(get(token).await, 200);
        let answer = site.gate.post("/api/token/logout/").bearer(token.as_str().unwrap()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(site.blacklisted(&[token]).await, [0]);
        for token in others {
            assert_eq!(get(token).await, 401);
            assert_eq!(renew(token).await.status, 401);
        }
    }
}

/// Of which no session is known: the site issued it.
pub(crate) async fn a_token_of_the_site_has_the_grace_of_its_exchange() {
    let site = Site::start(|file| file.set("issuer.reuse_grace", json!("60s"))).await;
    let token = |name: &str| {
        json!(site.old.sign_with(
            json!({ "alg": "HS256", "typ": "JWT" }),
            json!({ "token_type": "refresh", "exp": now() + 3600, "iat": now(), "jti": name, "user_id": "7" }),
        ))
    };
    let (lost, ended) = (token("lost"), token("ended"));
    let first = site.refresh(&lost).await;
    let again = site.refresh(&lost).await;
    assert_eq!(jti(&again), jti(&first), "the same successor");
    let next = site.refresh(&again).await;
    assert_eq!(site.post("refresh", &lost).await.status, 401, "the successor was used");
    assert_eq!(site.post("refresh", &next).await.status, 200, "and nobody is logged out");
    let used = site.gate.metrics().await.sum("tollgate_session_events_total", &[("event", "reuse_grace")]);
    assert!((used - 1.0).abs() < 0.1, "{used}");

    assert_eq!(site.post("blacklist", &ended).await.status, 200);
    assert_eq!(site.post("refresh", &ended).await.status, 401, "what was ended has no grace");
}
