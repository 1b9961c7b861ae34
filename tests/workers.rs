//! The workers of a gateway as clients feel them.

mod support;

use serde_json::json;
use support::{Tollgate, Upstream, config};

/// The kernel spreads connections by a hash of their addresses, so unevenly.
#[tokio::test]
async fn connections_are_spread_evenly_over_the_workers() {
    const WORKERS: u32 = 4;
    const CONNECTIONS: u32 = 60;
    let app = Upstream::echo().await;
    let gate = Tollgate::start(
        config().open_route("/*", &app).plain_listener().set("server.workers", json!(WORKERS)),
    )
    .await;

    let client = gate.plain_client();
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let connection = client.connect().await;
        assert_eq!(connection.get("/").await.status, 200);
        open.push(connection);
    }

    let metrics = gate.metrics().await;
    let loads: Vec<f64> = (0..WORKERS)
        .map(|worker| metrics.sum("tollgate_worker_connections", &[("worker", &worker.to_string())]))
        .collect();
    assert!((loads.iter().sum::<f64>() - f64::from(CONNECTIONS)).abs() < 0.5, "{loads:?}");
    let least = loads.iter().copied().fold(f64::INFINITY, f64::min);
    let most = loads.iter().copied().fold(0.0, f64::max);
    // A connection goes to the least loaded worker once its own has more than 4, or a quarter, above that one.
    assert!(most <= least + f64::max(4.0, least / 4.0) + 1.0, "{loads:?}");
}
