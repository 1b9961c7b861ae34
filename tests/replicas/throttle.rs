//! Failed logins, which each replica counts by itself, and what they tell each other of networks.

use serde_json::json;

use crate::support::{Answer, Config, Connection, DatabaseKind, Protocol};
use crate::{PASSWORD, Site, pair};

fn behind_a_proxy(file: Config) -> Config {
    let throttle = json!({ "per_account": "off", "per_address": "off", "account_ceiling": "5/1h" });
    file.set("server.trusted_proxies", json!(["127.0.0.0/8"])).set("issuer.throttle", throttle)
}

async fn log_in(connection: &Connection, client: &str, password: &str) -> Answer {
    let request = connection.post("/api/token/").header("x-forwarded-for", client);
    request.json(json!({ "username": "ada", "password": password })).await
}

pub(crate) async fn networks_are_known_to_all(kind: DatabaseKind) {
    let site = Site::with(kind, behind_a_proxy).await;
    pair(&log_in(&site.connect().await, "203.0.113.5", PASSWORD).await);
    let replica = site.replica_with(behind_a_proxy).await;
    let connection = replica.client(Protocol::Http2).connect().await;
    for _ in 0..5 {
        assert_eq!(log_in(&connection, "198.51.100.7", "a-guess").await.status, 401);
    }
    for stranger in ["198.51.100.7", "192.0.2.1", "2001:db8::1"] {
        assert_eq!(log_in(&connection, stranger, PASSWORD).await.status, 429, "{stranger}");
    }
    pair(&log_in(&connection, "203.0.113.77", PASSWORD).await);
    pair(&log_in(&connection, "203.0.113.5", PASSWORD).await);
}
