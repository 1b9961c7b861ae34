//! What keeps the gateway from starting, what a start makes, and what it says.

use super::*;

async fn fails(home: impl Into<support::Home>) -> (Option<i32>, String) {
    match Tollgate::try_start(home).await {
        Ok(_) => panic!("it started"),
        Err(finished) => (finished.status.code(), finished.lines.join("\n")),
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_the_key_that_changes_it() {
    let app = Upstream::echo().await;
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gate = Tollgate::start(open(&app)).await;
    // Another program's, another gateway's, and that of the admin listener.
    for (address, key) in [
        (other.local_addr().unwrap(), "server.listeners[0].address"),
        (gate.address(), "server.listeners[0].address"),
        (other.local_addr().unwrap(), "admin.address"),
        (gate.admin_address(), "admin.address"),
    ] {
        let place = key.replace("[0]", ".0");
        let (code, text) = fails(open(&app).set(&place, json!(address.to_string()))).await;
        assert_eq!(code, Some(1), "{text}");
        for word in [address.to_string().as_str(), key, "gateway.yaml", "taken"] {
            assert!(text.contains(word), "{word} is missing in {text}");
        }
    }
    assert_eq!(gate.get("/").await.status, 200);
}

#[tokio::test]
async fn without_development_nothing_is_made_and_what_is_missing_is_an_error() {
    let app = Upstream::echo().await;
    let idp = Idp::new(Algorithm::EdDSA);
    for (what, file, words) in [
        (
            "a certificate",
            open(&app).set("server.listeners.0.tls.certificates.0.certificate", json!("certs/none.pem")),
            ["server.listeners[0].tls", "certs/none.pem"],
        ),
        (
            "a key",
            open(&app).set("server.listeners.0.tls.certificates.0.key", json!("certs/none.key")),
            ["server.listeners[0].tls", "certs/none.key"],
        ),
        (
            "a certificate that is none",
            open(&app)
                .file("certs/bad.pem", "no PEM")
                .set("server.listeners.0.tls.certificates.0.certificate", json!("certs/bad.pem")),
            ["server.listeners[0].tls", "certs/bad.pem"],
        ),
        (
            "a provider's key",
            config()
                .provider("idp", &idp)
                .route("/*", "idp", &app)
                .set("providers.idp.keys", json!({ "pem_file": "keys/none.pem" })),
            ["providers.idp.keys", "keys/none.pem"],
        ),
    ] {
        let (code, text) = fails(file).await;
        assert!(matches!(code, Some(1 | 2)), "{what}: {text}");
        for word in words {
            assert!(text.contains(word), "{what}: {word} is missing in {text}");
        }
    }
}

#[tokio::test]
async fn development_makes_missing_certificates_once_and_keeps_their_keys_private() {
    use std::os::unix::fs::PermissionsExt;

    let app = Upstream::echo().await;
    let file = open(&app).set("development", json!(true)).set(
        "server.listeners.0.tls.certificates",
        json!([{ "certificate": "certs/made.pem", "key": "certs/made.key" }]),
    );
    let gate = Tollgate::start(file).await;
    let read = |name: &str| std::fs::read_to_string(gate.home.path(format!("certs/{name}"))).unwrap();
    let mode = |name: &str| {
        std::fs::metadata(gate.home.path(format!("certs/{name}"))).unwrap().permissions().mode() & 0o777
    };
    assert!(read("made.pem").contains("BEGIN CERTIFICATE") && read("ca.pem").contains("BEGIN CERTIFICATE"));
    assert_eq!(mode("made.key"), 0o600);
    // It signed this certificate and can sign no other: its key is nowhere.
    let keys = std::fs::read_dir(gate.home.path("certs")).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        (path.extension()? == "key").then(|| path.file_stem()?.to_str().map(str::to_owned)).flatten()
    });
    assert_eq!(
        keys.collect::<std::collections::BTreeSet<_>>(),
        ["made".to_owned(), "server".to_owned()].into()
    );
    let made = (read("made.pem"), read("made.key"), read("ca.pem"));
    let command = |line: &String| line.starts_with("curl ") && line.ends_with("/metrics");
    gate.lines_until("a command to try", |lines| lines.iter().any(command)).await;

    let again = open(&app)
        .set("development", json!(true))
        .file("certs/made.pem", &made.0)
        .file("certs/made.key", &made.1)
        .set(
            "server.listeners.0.tls.certificates",
            json!([{ "certificate": "certs/made.pem", "key": "certs/made.key" }]),
        );
    let gate = Tollgate::start(again).await;
    let kept = std::fs::read_to_string(gate.home.path("certs/made.pem")).unwrap();
    assert_eq!(kept, made.0, "what is there is not made anew");
}

#[tokio::test]
async fn development_is_refused_where_others_could_reach_it() {
    let app = Upstream::echo().await;
    for (key, address) in [
        ("server.listeners.0.address", "0.0.0.0:0"),
        ("server.listeners.0.address", "[::]:0"),
        ("admin.address", "0.0.0.0:0"),
    ] {
        let (code, text) = fails(open(&app).set("development", json!(true)).set(key, json!(address))).await;
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("development") || text.contains("loopback"), "{text}");
    }
}

#[tokio::test]
async fn a_key_of_another_certificate_is_an_error() {
    let app = Upstream::echo().await;
    let home = open(&app).set("server.listeners.0.tls.certificates.0.key", json!("certs/other.key")).write();
    home.certificate("other", &["localhost"]);
    let (code, text) = fails(home).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("server.listeners[0].tls") && text.contains("other.key"), "{text}");
}

#[tokio::test]
async fn it_says_where_it_listens_and_which_routes_lead_where() {
    let app = Upstream::echo().await;
    let idp = Idp::new(Algorithm::EdDSA);
    let gate = Tollgate::start(
        config()
            .provider("idp", &idp)
            .route("/api/*", "idp", &app)
            .open_route("/public", &app)
            .plain_listener(),
    )
    .await;
    let words = [
        format!("listening on https://{} (server.listeners[0])", gate.address()),
        format!("listening on http://{} (server.listeners[1])", gate.plain_address()),
        format!("listening on http://{} (admin)", gate.admin_address()),
        format!("routes[0]: /api/* -> {}, needs a token of idp", app.url()),
        format!("routes[1]: /public -> {}, open to all", app.url()),
    ];
    let said = |lines: &[String]| words.iter().all(|word| lines.iter().any(|line| line.contains(word)));
    gate.lines_until("where it listens and what leads where", said).await;
    let finished = gate.stop().await;
    assert!(!finished.lines.iter().any(|line| line.contains("curl")), "commands are for newcomers");
}
