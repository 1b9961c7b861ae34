//! What a client may speak, which certificate it sees, and which worker serves it.

use super::*;

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_unless_the_file_says_1_3() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    let version = async |gate: &Tollgate, version| {
        gate.handshake("localhost", &[version], &[]).await.map(|done| done.version)
    };
    assert_eq!(version(&gate, &TLS12).await.unwrap(), ProtocolVersion::TLSv1_2);
    assert_eq!(version(&gate, &TLS13).await.unwrap(), ProtocolVersion::TLSv1_3);

    let gate = Tollgate::start(open(&app).set("server.listeners.0.tls.minimum_version", json!("1.3"))).await;
    version(&gate, &TLS12).await.expect_err("TLS 1.2 was spoken");
    assert_eq!(version(&gate, &TLS13).await.unwrap(), ProtocolVersion::TLSv1_3);
}

#[tokio::test]
async fn alpn_chooses_the_protocol_and_without_it_http_1_1_is_spoken() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app)).await;
    for (offered, chosen) in [
        (&[b"h2".as_slice(), b"http/1.1"][..], Some("h2")),
        (&[b"http/1.1", b"h2"], Some("h2")),
        (&[b"http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        for version in [&TLS12, &TLS13] {
            let done = gate.handshake("localhost", &[version], offered).await.unwrap();
            assert_eq!(done.alpn.as_deref(), chosen);
        }
    }
    gate.handshake("localhost", &[&TLS13], &[b"h3"]).await.expect_err("a protocol that is not spoken");
    for (protocol, version) in Protocol::BOTH.into_iter().zip([http::Version::HTTP_11, http::Version::HTTP_2])
    {
        assert_eq!(gate.client(protocol).get("/").await.version, version);
    }
}

#[tokio::test]
async fn the_certificate_is_chosen_by_server_name_and_the_first_is_the_default() {
    let app = Upstream::echo().await;
    let certificate = |name: &str| json!({ "certificate": format!("certs/{name}.pem"), "key": format!("certs/{name}.key") });
    let all = ["server", "shop", "star"].map(certificate);
    let home = open(&app).set("server.listeners.0.tls.certificates", json!(all)).write();
    home.certificate("shop", &["shop.example.org", "www.shop.example.org"]);
    home.certificate("star", &["*.star.example.org"]);
    let gate = Tollgate::start(home).await;
    // A client refuses a certificate that is not good for the name that it asked for.
    let shown =
        async |name: &str| gate.handshake(name, &[&TLS13, &TLS12], &[]).await.map(|done| done.certificate);
    let first = shown("localhost").await.unwrap();
    let shop = shown("shop.example.org").await.unwrap();
    let star = shown("a.star.example.org").await.unwrap();
    assert_eq!(shown("www.shop.example.org").await.unwrap(), shop);
    assert_eq!(shown("127.0.0.1").await.unwrap(), first, "no server name: the first");
    assert!(first != shop && shop != star && star != first);
    shown("unknown.example.net").await.expect_err("the first is not good for it");
}

#[tokio::test]
async fn a_plain_listener_serves_the_same_routes_beside_tls() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app).plain_listener()).await;
    assert_eq!(gate.get("/tls").await.json()["target"], "/tls");
    let plain = gate.plain_client().connect().await;
    assert_eq!(plain.get("/plain").await.json()["target"], "/plain");
    let metrics = gate.metrics().await;
    for (listener, open) in [("server.listeners[0]", 0.0), ("server.listeners[1]", 1.0)] {
        assert_eq!(metrics.sum("tollgate_connections_total", &[("listener", listener)]), 1.0);
        assert!(metrics.sum("tollgate_open_connections", &[("listener", listener)]) >= open);
    }
}

#[tokio::test]
async fn connections_that_crowd_one_worker_are_handed_to_another() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app).plain_listener().set("server.workers", json!(16))).await;
    let mut connections = Vec::new();
    // By the kernel's hash alone the fullest of 16 workers would have some ten more of these than the emptiest.
    for _ in 0..200 {
        let connection = gate.plain_client().connect().await;
        assert_eq!(connection.get("/").await.status, 200);
        connections.push(connection);
    }
    let metrics = gate.metrics().await;
    assert!(metrics.sum("tollgate_connections_handed_over_total", &[]) >= 1.0, "{}", metrics.text);
    assert_eq!(metrics.sum("tollgate_open_connections", &[]), 200.0);
    for connection in connections {
        assert_eq!(connection.get("/").await.status, 200);
    }
    gate.metrics_until("the end of all", |metrics| metrics.sum("tollgate_open_connections", &[]) == 0.0)
        .await;
}
