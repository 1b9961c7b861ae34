//! Tokens that are remembered.

use super::*;

fn lookups(metrics: &support::Metrics, result: &str) -> f64 {
    metrics.sum("tollgate_token_cache_lookups_total", &[("result", result)])
}

#[tokio::test]
async fn a_token_is_verified_once_and_then_known_to_its_worker() {
    let app = Upstream::echo().await;
    let idp = Idp::new(Algorithm::RS256);
    let gate = Tollgate::start(guarded(&idp, &app)).await;
    let token = idp.sign(claims("ada"));
    let connection = gate.client(Protocol::Http1).connect().await;
    for _ in 0..10 {
        assert_eq!(got(&connection.get("/").bearer(&token).await, "x-user-id"), ["ada"]);
    }
    let metrics = gate.metrics().await;
    assert_eq!((lookups(&metrics, "miss"), lookups(&metrics, "worker_hit")), (1.0, 9.0));
    assert_eq!(metrics.sum("tollgate_authentications_total", &[("outcome", "accepted")]), 10.0);
}

#[tokio::test]
async fn what_one_worker_verified_another_need_not() {
    let app = Upstream::echo().await;
    let idp = Idp::new(Algorithm::RS256);
    let gate = Tollgate::start(guarded(&idp, &app).set("server.workers", json!(4))).await;
    let token = idp.sign(claims("ada"));
    assert_eq!(gate.get("/").bearer(&token).await.status, 200);
    // The kernel spreads connections; held open, they fill all workers.
    let mut connections = Vec::new();
    for _ in 0..40 {
        let connection = gate.client(Protocol::Http1).connect().await;
        assert_eq!(connection.get("/").bearer(&token).await.status, 200);
        connections.push(connection);
    }
    let metrics = gate.metrics().await;
    assert_eq!(lookups(&metrics, "miss"), 1.0);
    assert_eq!(lookups(&metrics, "shared_hit"), 3.0, "{}", metrics.text);
    assert_eq!(lookups(&metrics, "worker_hit"), 37.0);
}

#[tokio::test]
async fn a_known_token_ends_at_its_expiry() {
    let app = Upstream::echo().await;
    let idp = Idp::new(Algorithm::EdDSA);
    let gate = Tollgate::start(guarded(&idp, &app).set("providers.idp.leeway", json!("0s"))).await;
    let token = idp.sign(with(json!({ "exp": now() + 2 })));
    let connection = gate.client(Protocol::Http1).connect().await;
    assert_eq!(connection.get("/").bearer(&token).await.status, 200);
    let refused = support::within("the expiry", async {
        loop {
            let answer = connection.get("/").bearer(&token).await;
            if answer.status != 200 {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_says_nothing(&refused, "expired");
    let metrics = gate.metrics().await;
    assert_eq!(lookups(&metrics, "miss"), 1.0, "it was known all the time");
    assert_eq!(metrics.sum("tollgate_authentications_total", &[("outcome", "expired")]), 1.0);
}

#[tokio::test]
async fn a_token_that_begins_like_a_known_one_is_not_known() {
    let app = Upstream::echo().await;
    let idp = Idp::new(Algorithm::EdDSA);
    let gate = Tollgate::start(guarded(&idp, &app)).await;
    let connection = gate.client(Protocol::Http1).connect().await;
    let good = idp.sign(claims("ada"));
    assert_eq!(connection.get("/").bearer(&good).await.status, 200);
    let parts: Vec<&str> = good.split('.').collect();
    let eve = idp.sign(claims("eve"));
    let payload = eve.split('.').nth(1).unwrap();
    // The tail decides where a token lies in the cache: here it is the known one's.
    let forged = format!("{}.{payload}.{}", parts[0], parts[2]);
    for _ in 0..2 {
        assert_says_nothing(&connection.get("/").bearer(&forged).await, "another payload");
        assert_says_nothing(&connection.get("/").bearer(&good[..good.len() - 1]).await, "cut short");
        assert_says_nothing(&connection.get("/").bearer(&format!("{good}A")).await, "longer");
    }
    let metrics = gate.metrics().await;
    assert!(lookups(&metrics, "refused_hit") >= 1.0, "a bad signature is remembered: {}", metrics.text);
    assert_eq!(got(&connection.get("/").bearer(&good).await, "x-user-id"), ["ada"]);
}

#[tokio::test]
async fn the_cache_can_be_switched_off() {
    let app = Upstream::echo().await;
    let idp = Idp::new(Algorithm::EdDSA);
    let gate = Tollgate::start(guarded(&idp, &app).set("server.token_cache", json!("off"))).await;
    let token = idp.sign(claims("ada"));
    let connection = gate.client(Protocol::Http1).connect().await;
    for _ in 0..5 {
        assert_eq!(got(&connection.get("/").bearer(&token).await, "x-user-id"), ["ada"]);
        assert_says_nothing(&connection.get("/").bearer(&format!("{token}AAAA")).await, "a bad signature");
    }
    let metrics = gate.metrics().await;
    for result in ["worker_hit", "shared_hit", "refused_hit"] {
        assert_eq!(lookups(&metrics, result), 0.0, "{result}");
    }
}
