//! Ends that were written at the site when the gateway's own database did not answer: sent again, they are done.

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tollgate::base::Algorithm;

use crate::mirror::{PASSWORD, Site};
use crate::support::{Answer, Config, Idp, now};

/// A site whose tokens are of another key than Tollgate's.
async fn with_legacy_key(change: impl FnOnce(Config) -> Config) -> (Site, Idp) {
    let legacy = Idp::new(Algorithm::HS256);
    let site = Site::start(|file| {
        let provider = json!({
            "issuer": "any",
            "keys": { "secret": "file:legacy" },
            "algorithms": ["HS256"],
            "audiences": "any",
            "token_type": "access",
            "exchange_refresh_tokens": true,
        });
        change(file.file("legacy", legacy.secret()).set("providers.legacy", provider))
    })
    .await;
    (site, legacy)
}

fn token(key: &Idp, token_type: &str, jti: &str) -> Value {
    let claims = json!({
        "token_type": token_type, "exp": now() + 300, "iat": now() - 60, "jti": jti, "user_id": "7",
        "refresh_exp": now() + 3600,
    });
    json!(key.sign_with(json!({ "alg": "HS256", "typ": "JWT" }), claims))
}

/// Sends it while the gateway's own database is locked, and then again.
async fn by_half_and_again(site: &Site, token: &Value, send: impl AsyncFn() -> Answer) {
    let file = site.gate.home.path("data/tollgate.db");
    let mut store = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    store.execute("BEGIN IMMEDIATE").await.unwrap();
    let answer = send().await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    store.execute("ROLLBACK").await.unwrap();
    assert_eq!(site.blacklisted(&[token]).await, [0], "the site was told");
    let answer = send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(send().await.status, 401, "it is done");
}

pub(crate) async fn refresh_tokens() {
    let (site, legacy) = with_legacy_key(|file| file).await;
    let refused = async |token: &Value| {
        for endpoint in ["refresh", "blacklist"] {
            assert_eq!(site.post(endpoint, token).await.status, 401, "{endpoint}");
        }
    };
    // Of a session; of no session, since the site made it; of another key.
    for endpoint in ["blacklist", "logout"] {
        let ours = site.log_in().await.json()["refresh"].clone();
        for token in
            [ours, token(&site.old, "refresh", endpoint), token(&legacy, "refresh", &format!("l{endpoint}"))]
        {
            by_half_and_again(&site, &token, async || site.post(endpoint, &token).await).await;
            refused(&token).await;
        }
    }

    // All sessions of the user, too.
    let pair = site.log_in().await.json();
    let access = pair["access"].as_str().unwrap();
    assert_eq!(site.gate.get("/").bearer(access).await.status, 200);
    let of_site = token(&site.old, "refresh", "all");
    by_half_and_again(&site, &of_site, async || site.post("logout/all", &of_site).await).await;
    assert_eq!(site.gate.get("/").bearer(access).await.status, 401);
    refused(&pair["refresh"]).await;
}

pub(crate) async fn sliding_tokens() {
    let change = |file: Config| {
        let paths = json!({ "sliding_obtain": "/sliding/", "sliding_refresh": "/sliding/refresh/" });
        file.set("issuer.auth_token_classes", json!(["sliding"])).set("issuer.paths", paths)
    };
    let (site, _) = with_legacy_key(change).await;
    let credentials = json!({ "username": "ada", "password": PASSWORD });
    let ours = site.gate.post("/sliding/").json(credentials).await.json()["token"].clone();
    for token in [ours, token(&site.old, "sliding", "of-the-site")] {
        let bearer = token.as_str().unwrap();
        by_half_and_again(&site, &token, async || site.gate.post("/api/token/logout/").bearer(bearer).await)
            .await;
        assert_eq!(site.gate.get("/").bearer(bearer).await.status, 401);
        let renewed = site.gate.post("/sliding/refresh/").json(json!({ "token": token })).await;
        assert_eq!(renewed.status, 401, "{}", renewed.text());
    }
}

/// What the site ended before the move is exchanged for nothing.
pub(crate) async fn a_token_of_another_key_that_the_site_ended() {
    for (compatibility, mirror) in [("simplejwt", true), ("tollgate", false)] {
        let change = |file: Config| {
            file.set("issuer.compatibility", json!(compatibility))
                .set("issuer.algorithm", json!("HS256"))
                .set("issuer.users.django.token_blacklist.mirror", json!(mirror))
        };
        let (site, legacy) = with_legacy_key(change).await;
        let (ended, alive) = (token(&legacy, "refresh", "ended"), token(&legacy, "refresh", "alive"));
        for (jti, is_ended) in [("ended", true), ("alive", false)] {
            site.server.execute(&format!(
                "INSERT INTO token_blacklist_outstandingtoken (user_id, jti, token, created_at, expires_at) \
                 VALUES (7, '{jti}', '', now(), now() + interval '1 hour')"
            ));
            if is_ended {
                site.server.execute(&format!(
                    "INSERT INTO token_blacklist_blacklistedtoken (token_id, blacklisted_at) \
                     SELECT id, now() FROM token_blacklist_outstandingtoken WHERE jti = '{jti}'"
                ));
            }
        }
        let refused = site.post("refresh", &ended).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["detail"]),
            (401, &json!("Token is blacklisted"))
        );
        site.refresh(&alive).await;
    }
}
