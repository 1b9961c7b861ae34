//! Tollgate's own users, and those of a file.

use std::sync::Arc;

use serde_json::json;
use tollgate::base::UnixTime;
use tollgate::config;
use tollgate::store::{Missing, NewUser, PasswordHash, Unanswered, UserAttributes, open_store};

use crate::suite::{PASSWORD, Place, claims, gateway, log_in, run, started};
use crate::support::{DatabaseKind, DatabaseServer, Home, Tollgate};

/// Of [`PASSWORD`], with the least work: an argon2id hash, and a bcrypt hash as `htpasswd -B` writes it.
fn hashes() -> [String; 2] {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
    let cheap = Params::new(64, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, cheap);
    let bcrypt = bcrypt::hash_with_salt_bytes(PASSWORD, 4, [7; 16]).unwrap();
    let bcrypt = std::str::from_utf8(&bcrypt).unwrap().replacen("$2b$", "$2y$", 1);
    [argon2.hash_password(PASSWORD.as_bytes()).unwrap().to_string(), bcrypt]
}

/// In the database that comes with the program, or on a server.
pub(crate) async fn own(kind: Option<DatabaseKind>) {
    let server = match kind {
        Some(kind) => Some(DatabaseServer::start(kind).await),
        None => None,
    };
    let file = match &server {
        Some(server) => gateway(json!("own")).set("issuer.store", json!(server.url())),
        None => gateway(json!("own")),
    };
    let home: Home = file.write();
    home.generate_key();
    let config = config::read(&home.path("gateway.yaml"), &|_| None).unwrap();
    let store = open_store(&config.issuer.unwrap().store, Missing::Create, Unanswered::Refuse).await.unwrap();
    let [hash, _] = hashes();
    for name in ["ada", "gone"] {
        let user = NewUser {
            username: name.to_owned(),
            password: PasswordHash::from_stored(hash.clone()),
            attributes: UserAttributes {
                email: format!("{name}@example.com"),
                roles: "admin staff".to_owned(),
                ..UserAttributes::default()
            },
        };
        store.add_user(&user, UnixTime(1_800_000_000)).await.unwrap();
    }
    assert!(store.set_active("gone", false).await.unwrap());
    run(Place {
        gate: Tollgate::start(home).await,
        disable_ada: Box::new(move |_| {
            // Until the suite is done.
            let _server = &server;
            let store = Arc::clone(&store);
            Box::pin(async move { assert!(store.set_active("ada", false).await.unwrap()) })
        }),
        tells_more: true,
        is_asked_at_refresh: true,
    })
    .await;
}

pub(crate) async fn yaml_file() {
    let [hash, _] = hashes();
    let users = move |ada_is_active: bool| {
        json!({
            "ada": {
                "password": hash,
                "id": "u-1",
                "email": "ada@example.com",
                "roles": ["admin", "staff"],
                "active": ada_is_active,
            },
            "gone": { "password": hash, "active": false },
        })
        .to_string()
    };
    let config = gateway(json!({ "file": "users.yaml" })).file("users.yaml", users(true));
    run(Place {
        gate: started(config).await,
        disable_ada: Box::new(move |gate| {
            gate.home.write("users.yaml", users(false));
            Box::pin(std::future::ready(()))
        }),
        tells_more: true,
        is_asked_at_refresh: true,
    })
    .await;
}

pub(crate) async fn htpasswd_file() {
    let [argon2, bcrypt] = hashes();
    let config = gateway(json!({ "file": "people" }))
        .file("people", format!("ada:{bcrypt}\ngrace:{argon2}\ngone:$apr1$x$y\n"));
    run(Place {
        gate: started(config).await,
        disable_ada: Box::new(move |gate| {
            gate.home.write("people", format!("grace:{argon2}\n"));
            Box::pin(std::future::ready(()))
        }),
        tells_more: false,
        is_asked_at_refresh: true,
    })
    .await;
}

pub(crate) async fn htpasswd() {
    let [argon2, bcrypt] = hashes();
    let config = gateway(json!({ "file": "people" }))
        .file("people", format!("# who may\nada:{bcrypt}\ngrace:{argon2}\nold:$apr1$x$y\n"));
    let gate = started(config).await;
    for name in ["ada", "grace"] {
        let answer = log_in(&gate, name, PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(claims(&answer, "access")["user_id"], name);
        assert_eq!(log_in(&gate, name, "x").await.status, 401);
    }
    assert_eq!(log_in(&gate, "old", "y").await.status, 401, "a weak hash is none");

    gate.home.write("people", format!("grace:{argon2}\n"));
    assert_eq!(log_in(&gate, "ada", PASSWORD).await.status, 401, "removed");
    gate.home.write("people", "a line that is no user\n");
    assert_eq!(log_in(&gate, "grace", PASSWORD).await.status, 200, "a broken file changes nothing");
    let is_told = |lines: &[String]| lines.iter().any(|line| line.contains("line 1: expected NAME:HASH"));
    gate.lines_until("a warning of the broken file", is_told).await;
}

pub(crate) async fn commands() {
    let home: Home = gateway(json!({ "file": "people" })).file("people", "ada:x\n").write();
    home.generate_key();
    for arguments in [
        &["user", "add", "ada", "--password-stdin"][..],
        &["user", "passwd", "ada"],
        &["user", "logout", "ada"],
        &["token", "mint", "--user", "ada"],
    ] {
        let output = home.run(arguments, "a-long-password\n");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains("users live elsewhere"), "{arguments:?}: {said}");
    }
    assert!(!home.path("data/tollgate.db").exists(), "nothing was made");
    assert!(home.run(&["token", "mint", "--subject", "ada"], "").status.success());
}
