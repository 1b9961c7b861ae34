//! How old tokens end that were not exchanged: no session knows of them, and none may begin with them afterwards.

use serde_json::{Value, json};

use crate::legacy::{PASSWORD, Site, refresh};
use crate::support::{Answer, Connection, now};

async fn post(connection: &Connection, endpoint: &str, token: &Value) -> Answer {
    connection.post(&format!("/api/token/{endpoint}/")).json(json!({ "refresh": token })).await
}

async fn log_in(connection: &Connection) -> Value {
    let answer =
        connection.post("/api/token/").json(json!({ "username": "ada", "password": PASSWORD })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn get(connection: &Connection, access: &Value) -> u16 {
    connection.get("/orders").bearer(access.as_str().unwrap()).await.status.as_u16()
}

/// By whom all tokens of a user are ended.
#[derive(Debug, Clone, Copy)]
enum By {
    Owner,
    Bearer,
    OldToken,
    Logout,
    Disable,
}

pub(crate) async fn the_end_of_all_of_a_user_s_tokens() {
    let (any, old) = (json!("any"), json!("https://old.example.com"));
    for (issuer, iss, by) in [
        (&any, &Value::Null, By::Owner),
        (&old, &old, By::Owner),
        (&json!(["https://other.example.com", old]), &old, By::Owner),
        (&any, &old, By::Owner),
        (&old, &old, By::Bearer),
        (&old, &old, By::OldToken),
        (&old, &old, By::Logout),
        (&old, &old, By::Disable),
        (&any, &Value::Null, By::Disable),
    ] {
        all_tokens_end(issuer, iss, by).await;
    }
}

async fn all_tokens_end(issuer: &Value, iss: &Value, by: By) {
    let what = format!("{issuer} {iss} {by:?}");
    let site = Site::start(|file| file.set("providers.legacy.issuer", issuer.clone())).await;
    let connection = site.connect().await;
    let token = |token_type: &str, changes: Value| {
        let mut all = json!({ "jti": format!("{token_type}-{changes}"), "iat": now() - 60 });
        if iss.is_string() {
            all["iss"] = iss.clone();
        }
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        json!(site.token(token_type, &all))
    };
    let (access, of_another) = (token("access", json!({})), token("access", json!({ "user_id": "2" })));
    let old = token("refresh", json!({}));
    let ours = log_in(&connection).await;
    for access in [&access, &of_another, &ours["access"]] {
        assert_eq!(get(&connection, access).await, 200, "{what}");
    }

    let run = |command: &str| {
        let output = site.gate.home.run(&["user", command, "ada", "--config", "gateway.yaml"], "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let everywhere = "/api/token/logout/all/";
    let answer = match by {
        By::Owner => Some(post(&connection, "logout/all", &ours["refresh"]).await),
        By::OldToken => {
            let other = token("refresh", json!({ "jti": "other" }));
            Some(post(&connection, "logout/all", &other).await)
        }
        By::Bearer => Some(connection.post(everywhere).bearer(ours["access"].as_str().unwrap()).await),
        By::Logout => {
            run("logout");
            None
        }
        By::Disable => {
            run("disable");
            None
        }
    };
    match answer {
        Some(answer) => assert_eq!(answer.status, 200, "{what}: {}", answer.text()),
        // It hears of it within a second.
        None => while get(&connection, &ours["access"]).await == 200 {},
    }
    assert_eq!(get(&connection, &ours["access"]).await, 401, "{what}");
    // Where any issuer will do, nobody knows their names: a token that tells one goes on for its few minutes.
    let is_named = iss.is_null() || issuer != "any";
    assert_eq!(get(&connection, &access).await, if is_named { 401 } else { 200 }, "{what}");
    assert_eq!(get(&connection, &of_another).await, 200, "{what}");
    if let By::Disable = by {
        run("enable");
    }
    let answer = refresh(&connection, old.as_str().unwrap()).await;
    assert_eq!(answer.status, 401, "{what}: {}", answer.text());
}

pub(crate) async fn the_end_of_one_old_token() {
    let site = Site::start(|file| file).await;
    let connection = site.connect().await;
    let ours = log_in(&connection).await;
    for endpoint in ["logout", "blacklist"] {
        let old = json!(site.token("refresh", &json!({ "jti": endpoint })));
        let answer = post(&connection, endpoint, &old).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({})), "{endpoint}");
        for endpoint in ["refresh", "logout", "logout/all", "blacklist"] {
            assert_eq!(post(&connection, endpoint, &old).await.status, 401, "{endpoint} afterwards");
        }
    }
    // Nobody else's tokens ended.
    assert_eq!(get(&connection, &ours["access"]).await, 200);
    let other = site.token("refresh", &json!({ "jti": "other" }));
    let pair = refresh(&connection, &other).await;
    assert_eq!(pair.status, 200, "{}", pair.text());

    // The session of one that was exchanged ends, as it does by the predecessor of any other.
    let pair = pair.json();
    assert_eq!(get(&connection, &pair["access"]).await, 200);
    assert_eq!(post(&connection, "logout", &json!(other)).await.status, 200);
    assert_eq!(get(&connection, &pair["access"]).await, 401);
    assert_eq!(post(&connection, "refresh", &pair["refresh"]).await.status, 401);

    for (token, why) in [
        (site.token("access", &json!({})), "another type"),
        (site.token("refresh", &json!({ "exp": now() - 60 })), "expired"),
        (site.token("refresh", &json!({ "jti": null })), "no jti"),
    ] {
        for endpoint in ["logout", "blacklist"] {
            assert_eq!(post(&connection, endpoint, &json!(token)).await.status, 401, "{endpoint}: {why}");
        }
    }
}
