//! Tokens of a key that is no longer Tollgate's own: taken until a date, and exchanged for sessions.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tollgate::base::Algorithm;

use crate::support::{
    Answer, Config, Connection, Home, Idp, Protocol, Reply, Tollgate, Upstream, config, now,
    token as signed_token,
};

pub(crate) const PASSWORD: &str = "Zq7-a-password-that-nothing-prints";

/// A gateway in its own manner, with the user `ada`, beside the keys of the old SimpleJWT.
pub(crate) struct Site {
    pub(crate) gate: Tollgate,
    old: Idp,
    _app: Upstream,
}

impl Site {
    pub(crate) async fn start(change: impl FnOnce(Config) -> Config) -> Self {
        let app = Upstream::echo().await;
        let old = Idp::new(Algorithm::HS256);
        let file = config()
            .issuer()
            .file("keys/legacy.secret", old.secret())
            .set(
                "providers.legacy",
                json!({
                    "issuer": "any",
                    "keys": { "secret": "file:keys/legacy.secret" },
                    "algorithms": ["HS256"],
                    "audiences": "any",
                    "token_type": "access",
                    "exchange_refresh_tokens": true,
                    "until": "2100-01-31",
                }),
            )
            .push_route(json!({
                "match": { "path": "/*" },
                "auth": { "providers": ["local", "legacy"] },
                "upstream": app.url(),
            }));
        let home: Home = change(file).into();
        home.generate_key();
        home.add_user("ada", PASSWORD);
        Self { gate: Tollgate::start(home).await, old, _app: app }
    }

    pub(crate) async fn connect(&self) -> Connection {
        self.gate.client(Protocol::Http2).connect().await
    }

    /// A token as SimpleJWT made it, with changes.
    pub(crate) fn token(&self, token_type: &str, changes: &Value) -> String {
        let mut claims = json!({
            "token_type": token_type, "exp": now() + 3600, "iat": now(), "jti": "0123456789abcdef0123456789abcdef",
            "user_id": "1",
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let header = json!({ "alg": "HS256", "typ": "JWT" });
        signed_token(&header.to_string(), &claims.to_string(), |input| self.old.signature(input))
    }
}

pub(crate) async fn refresh(connection: &Connection, token: &str) -> Answer {
    connection.post("/api/token/refresh/").json(json!({ "refresh": token })).await
}

pub(crate) fn claims(token: &Value) -> Value {
    use base64::Engine as _;
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

pub(crate) async fn an_old_refresh_token_is_exchanged() {
    let site = Site::start(|file| file).await;
    let connection = site.connect().await;
    let old_access = site.token("access", &json!({ "jti": "a" }));
    assert_eq!(connection.get("/orders").bearer(&old_access).await.status, 200);

    let old = site.token("refresh", &json!({}));
    let answer = refresh(&connection, &old).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let pair = answer.json();
    let new = claims(&pair["refresh"]);
    assert_eq!(
        (&new["sub"], &new["username"], &new["token_type"]),
        (&json!("1"), &json!("ada"), &json!("refresh"))
    );
    assert_eq!(connection.get("/orders").bearer(pair["access"].as_str().unwrap()).await.status, 200);

    // Whose answer got lost asks again, and gets the same session.
    let again = refresh(&connection, &old).await.json();
    assert_eq!(claims(&again["refresh"]), new);

    // It is a session like any other.
    let next = refresh(&connection, pair["refresh"].as_str().unwrap()).await;
    assert_eq!(next.status, 200, "{}", next.text());
    let next = next.json();
    assert_eq!(claims(&next["refresh"])["sid"], new["sid"]);
    // Its successor was used: the old token coming once more is a thief's or its victim's.
    assert_eq!(refresh(&connection, &old).await.status, 401);
    assert_eq!(
        refresh(&connection, next["refresh"].as_str().unwrap()).await.status,
        401,
        "the session ended"
    );
}

pub(crate) async fn one_session_is_made(jti_claim: &str) {
    let site = Site::start(|file| file.set("issuer.jti_claim", json!(jti_claim))).await;
    let connection = site.connect().await;
    let old = site.token("refresh", &json!({ jti_claim: "0123456789abcdef0123456789abcdef" }));
    let answers = join_all((0..32).map(|_| refresh(&connection, &old))).await;
    let sessions: Vec<Value> = answers
        .iter()
        .map(|answer| {
            assert_eq!(answer.status, 200, "{}", answer.text());
            claims(&answer.json()["refresh"])
        })
        .collect();
    assert!(sessions.iter().all(|session| *session == sessions[0]), "{sessions:?}");
}

pub(crate) async fn nothing_for_bad_tokens() {
    let site = Site::start(|file| file).await;
    let connection = site.connect().await;
    let stranger = Idp::new(Algorithm::HS256);
    let forged =
        stranger.sign(json!({ "token_type": "refresh", "exp": now() + 60, "jti": "x", "user_id": "1" }));
    for (token, why) in [
        (site.token("access", &json!({})), "another type"),
        (site.token("refresh", &json!({ "exp": now() - 60 })), "expired"),
        (site.token("refresh", &json!({ "user_id": "7" })), "a user who is not there"),
        (site.token("refresh", &json!({ "user_id": null })), "no user"),
        (site.token("refresh", &json!({ "jti": null })), "no jti"),
        (forged, "another key"),
    ] {
        let answer = refresh(&connection, &token).await;
        assert_eq!(answer.status, 401, "{why}: {}", answer.text());
    }
}

pub(crate) async fn until_its_date() {
    let site = Site::start(|file| file.set("providers.legacy.until", json!("2026-01-31T12:00:00Z"))).await;
    let connection = site.connect().await;
    let answer = connection.get("/orders").bearer(&site.token("access", &json!({}))).await;
    assert_eq!(answer.status, 401);
    let line = site.gate.log_line("the refusal", |line| line["reason"] == "provider_ended").await;
    assert_eq!(line["status"], 401);
    assert_eq!(refresh(&connection, &site.token("refresh", &json!({}))).await.status, 401);

    let check = site.gate.home.run(&["check"], "");
    let printed = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.success());
    let warning = "providers.legacy.until: has passed: its tokens are refused, and the provider can go";
    assert!(printed.contains(warning), "{printed}");
}

pub(crate) async fn the_hook_is_called() {
    let service = Upstream::start(|_| Reply::json(json!({ "tenant": "north" }))).await;
    let hook = json!({
        "url": format!("{}/claims", service.url()),
        "fetch": { "allow_http": true, "allow_private_addresses": true, "proxy": "none" },
    });
    let site = Site::start(|file| file.set("issuer.hook", hook)).await;
    let connection = site.connect().await;
    let answer = refresh(&connection, &site.token("refresh", &json!({ "tenant": "south" }))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for token in ["access", "refresh"] {
        assert_eq!(claims(&answer.json()[token])["tenant"], "north");
    }
    let question = service.only_request().json();
    assert_eq!((&question["event"], &question["user"]["username"]), (&json!("refresh"), &json!("ada")));
}

pub(crate) async fn a_changed_password_ends_old_tokens() {
    let site = Site::start(|file| file.set("issuer.check_revoke_token", json!(true))).await;
    let connection = site.connect().await;
    let login = connection.post("/api/token/").json(json!({ "username": "ada", "password": PASSWORD })).await;
    let fingerprint = claims(&login.json()["access"])["hash_password"].clone();
    assert!(fingerprint.is_string(), "{}", login.text());
    let told = |jti: &str| site.token("refresh", &json!({ "jti": jti, "hash_password": fingerprint }));
    let untold = site.token("refresh", &json!({ "jti": "untold" }));
    let lost = refresh(&connection, &untold).await;
    assert_eq!(lost.status, 200, "the site did not look at the claim then: {}", lost.text());
    assert_eq!(refresh(&connection, &untold).await.status, 200, "nor does its repetition");
    assert_eq!(refresh(&connection, &told("before")).await.status, 200);

    let passwd = site
        .gate
        .home
        .run(&["user", "passwd", "ada", "--password-stdin"], "another-one-that-nothing-prints\n");
    assert!(passwd.status.success(), "{}", String::from_utf8_lossy(&passwd.stderr));
    for (token, why) in [
        (told("after"), "another password"),
        (site.token("refresh", &json!({ "jti": "null", "hash_password": null })), "no fingerprint"),
        (untold, "the session ended with the password that began it"),
    ] {
        let answer = refresh(&connection, &token).await;
        assert_eq!(answer.status, 401, "{why}: {}", answer.text());
    }
    let another = site.token("refresh", &json!({ "jti": "another" }));
    assert_eq!(refresh(&connection, &another).await.status, 200);
}
