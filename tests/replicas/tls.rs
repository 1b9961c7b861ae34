//! How the gateway reaches a database server by TCP, and whom it takes for one.

use serde_json::json;

use crate::support::{Authority, Config, DatabaseKind, DatabaseServer, Home, Protocol, Tollgate, config};
use crate::{PASSWORD, login, try_login};

/// This machine, as the gateway knows it.
const HERE: &str = "127.0.0.1";
/// This machine too, which the gateway takes for another.
const ELSEWHERE: &str = "0.0.0.0";

/// The settings of a URL, in the words of the kind.
struct Words {
    required: &'static str,
    any_name: &'static str,
    verified: &'static str,
    disabled: &'static str,
    ca: &'static str,
}

fn words(kind: DatabaseKind) -> Words {
    match kind {
        DatabaseKind::Postgres => Words {
            required: "sslmode=require",
            any_name: "sslmode=verify-ca",
            verified: "sslmode=verify-full",
            disabled: "sslmode=disable",
            ca: "sslrootcert",
        },
        DatabaseKind::MariaDb => Words {
            required: "ssl-mode=REQUIRED",
            any_name: "ssl-mode=VERIFY_CA",
            verified: "ssl-mode=VERIFY_IDENTITY",
            disabled: "ssl-mode=DISABLED",
            ca: "ssl-ca",
        },
    }
}

fn site(url: &str, authority: &Authority) -> Config {
    config()
        .issuer()
        .set("issuer.store", json!(url))
        .file("database.pem", authority.pem())
        .file("another.pem", Authority::new().pem())
}

/// What `user add` says of why it can't use the store at this URL; empty if it can.
fn refusal(url: &str, authority: &Authority, username: &str) -> String {
    let home: Home = site(url, authority).write();
    let command = ["user", "add", username, "--password-stdin", "--config", "gateway.yaml"];
    let output = home.run(&command, &format!("{PASSWORD}\n"));
    if output.status.success() { String::new() } else { String::from_utf8_lossy(&output.stderr).into_owned() }
}

pub(crate) async fn certificates(kind: DatabaseKind) {
    let authority = Authority::new();
    let certificate = authority.issue(&[ELSEWHERE]);
    let server = DatabaseServer::start_on_network(kind, Some(&certificate)).await;
    let Words { required, any_name, verified, disabled, ca } = words(kind);
    for (host, settings, said) in [
        // The server itself wants TLS, so that whoever is let in speaks it.
        (
            HERE,
            disabled.to_owned(),
            if kind == DatabaseKind::Postgres { "no encryption" } else { "Access denied" },
        ),
        (ELSEWHERE, String::new(), "UnknownIssuer"),
        // Both authorities have one name.
        (ELSEWHERE, format!("{ca}=another.pem"), "BadSignature"),
        (ELSEWHERE, format!("{verified}&{ca}=another.pem"), "BadSignature"),
        (HERE, format!("{verified}&{ca}=database.pem"), "not valid for name"),
        (HERE, any_name.to_owned(), "UnknownIssuer"),
        (ELSEWHERE, format!("{ca}=missing.pem"), "No such file"),
    ] {
        let refusal = refusal(&server.url_at(host, &settings), &authority, "eve");
        assert!(refusal.contains(said), "{host} {settings}: {refusal}");
    }
    for (number, (host, settings)) in [
        (ELSEWHERE, format!("{ca}=database.pem")),
        (ELSEWHERE, format!("{verified}&{ca}=database.pem")),
        (HERE, format!("{any_name}&{ca}=database.pem")),
        (ELSEWHERE, required.to_owned()),
        (HERE, required.to_owned()),
        (HERE, String::new()),
    ]
    .into_iter()
    .enumerate()
    {
        let url = server.url_at(host, &settings);
        assert_eq!(refusal(&url, &authority, &format!("user{number}")), "", "{host} {settings}");
    }

    let gateway = async |settings: &str| {
        let home: Home = site(&server.url_at(ELSEWHERE, settings), &authority).write();
        home.generate_key();
        Tollgate::start(home).await
    };
    let trusting = gateway(&format!("{ca}=database.pem")).await;
    trusting.home.add_user("ada", PASSWORD);
    login(&trusting.client(Protocol::Http2).connect().await).await;

    let doubting = gateway(&format!("{ca}=another.pem")).await;
    doubting.lines_until("the reason", |lines| lines.iter().any(|line| line.contains("BadSignature"))).await;
    let answer = try_login(&doubting.client(Protocol::Http2).connect().await).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.json()["code"], "store_unavailable");
    assert!(answer.headers.contains_key("retry-after"));
}

pub(crate) async fn no_tls(kind: DatabaseKind) {
    let authority = Authority::new();
    let server = DatabaseServer::start_on_network(kind, None).await;
    let Words { required, verified, disabled, ca, .. } = words(kind);
    for (host, settings) in [
        (ELSEWHERE, String::new()),
        (ELSEWHERE, format!("{ca}=database.pem")),
        (ELSEWHERE, required.to_owned()),
        (HERE, required.to_owned()),
        (HERE, format!("{verified}&{ca}=database.pem")),
    ] {
        let refusal = refusal(&server.url_at(host, &settings), &authority, "eve");
        assert!(refusal.contains("server does not support TLS"), "{host} {settings}: {refusal}");
    }
    for (username, host, settings) in [("ada", HERE, ""), ("bob", ELSEWHERE, disabled)] {
        assert_eq!(refusal(&server.url_at(host, settings), &authority, username), "", "{host} {settings}");
    }
}
