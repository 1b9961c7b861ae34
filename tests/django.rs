//! A real Django application behind the real gateway, which logs the caller in from the injected header alone.
//!
//! The application is an ordinary site (`tests/data/django`), served by gunicorn, that was told to map `X_User_Name` to the
//! same variable as `X-User-Name`: as careless as a server can be. In its database is a superuser with the very
//! name that clients forge here. User ids differ from those of the gateway, so only the name can match.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::Arguments;
use serde_json::{Value, json};
use support::{Client, FORGED, Home, Process, Protocol, Tollgate, block_on, config, server_missing, trial};

/// The spellings that a CGI-like server reduces to the one variable, and those that look as if.
const SPELLINGS: [&str; 4] = ["X-User-Name", "X_User_Name", "x-user_NAME", "X.User.Name"];

fn main() -> ExitCode {
    let environment = environment();
    let missing = server_missing(environment.join("bin/gunicorn"));
    let trials = vec![
        trial("the_application_believes_whoever_reaches_it", missing.as_deref(), || {
            block_on(the_application_believes_whoever_reaches_it());
        }),
        trial("logs_the_caller_in_over_http1", missing.as_deref(), || {
            block_on(logs_the_caller_in(Protocol::Http1));
        }),
        trial("logs_the_caller_in_over_http2", missing.as_deref(), || {
            block_on(logs_the_caller_in(Protocol::Http2));
        }),
        trial("a_forged_name_never_reaches_the_application", missing.as_deref(), || {
            block_on(a_forged_name_never_reaches_the_application());
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The control: without a gateway in front, the header is all that it takes. Were this otherwise, the other
/// tests would prove nothing.
async fn the_application_believes_whoever_reaches_it() {
    let django = Django::start().await;
    let client = django.client();
    assert_eq!(client.get("/whoami/").await.json()["username"], "");
    for spelling in &SPELLINGS[..3] {
        let caller = client.get("/whoami/").header(spelling, FORGED).await.json();
        assert_eq!(caller["username"], FORGED, "{spelling}");
        assert_eq!(caller["is_superuser"], true);
    }
}

async fn logs_the_caller_in(protocol: Protocol) {
    let django = Django::start().await;
    let gate = gateway_before(&django).await;
    let connection = gate.client(protocol).connect().await;

    let refused = connection.get("/whoami/").await;
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer")));

    for (username, id) in [("ada", 7301), ("grace", 7302)] {
        let tokens = connection
            .post("/api/token/")
            .json(json!({ "username": username, "password": password(username) }))
            .await;
        assert_eq!(tokens.status, 200, "{}", tokens.text());
        let tokens = tokens.json();
        let access = tokens["access"].as_str().unwrap();

        let answer = connection.post("/whoami/?a=b").bearer(access).body("a body").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let caller = answer.json();
        assert_eq!(caller["username"], username);
        assert_eq!(caller["id"], id);
        assert_eq!(caller["secure"], true);
        assert_eq!(caller["body"], "a body");
        // The gateway's own id, which says nothing here.
        assert_ne!(caller["meta"]["HTTP_X_USER_ID"], id.to_string());
        assert_eq!(caller["meta"]["HTTP_AUTHORIZATION"], Value::Null);

        // A refresh token opens nothing.
        let refresh = tokens["refresh"].as_str().unwrap();
        assert_eq!(connection.get("/whoami/").bearer(refresh).await.status, 401);
    }
}

async fn a_forged_name_never_reaches_the_application() {
    let django = Django::start().await;
    let gate = gateway_before(&django).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let connection = gate.client(protocol).connect().await;
        let tokens = connection
            .post("/api/token/")
            .json(json!({ "username": "ada", "password": password("ada") }))
            .await
            .json();
        let access = tokens["access"].as_str().unwrap();
        for spelling in SPELLINGS {
            let caller = connection.get("/whoami/").bearer(access).header(spelling, FORGED).await.json();
            assert_eq!(caller["username"], "ada", "{spelling}");
            assert!(!caller.to_string().contains(FORGED), "{spelling}: {caller}");

            let caller = connection.get("/public/whoami/").header(spelling, FORGED).await.json();
            assert_eq!(caller["username"], "", "{spelling}");
            assert!(!caller.to_string().contains(FORGED), "{spelling}: {caller}");

            assert_eq!(connection.get("/whoami/").header(spelling, FORGED).await.status, 401);
        }
    }
}

/// A gateway with its own users `ada` and `grace`, whose default identity headers go to the application.
async fn gateway_before(django: &Django) -> Tollgate {
    let home: Home = config()
        .issuer()
        .set("upstreams.django", json!({ "endpoints": [django.url()] }))
        .push_route(
            json!({ "match": { "path": "/*" }, "auth": { "providers": ["local"] }, "upstream": "django" }),
        )
        .push_route(json!({ "match": { "path": "/public/*" }, "auth": "none", "upstream": "django" }))
        .write();
    home.generate_key();
    home.add_user("ada", &password("ada"));
    home.add_user("grace", &password("grace"));
    Tollgate::start(home).await
}

fn password(username: &str) -> String {
    format!("the-long-password-of-{username}")
}

/// The application, in a folder of its own.
struct Django {
    address: std::net::SocketAddr,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Django {
    async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("tollgate-django-").tempdir().unwrap();
        let database = folder.path().join("db.sqlite3");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/django");
        let command = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(environment().join("bin").join(program));
            command
                .args(arguments)
                .current_dir(&source)
                .env("APPLICATION_DATABASE", &database)
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .env("HOME", folder.path());
            command
        };
        for arguments in
            [&["manage.py", "migrate", "--verbosity", "0"][..], &["manage.py", "loaddata", "users.json"]]
        {
            let output = command("python", arguments).output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let mut gunicorn = command(
            "gunicorn",
            &[
                "--bind",
                "127.0.0.1:0",
                "--threads",
                "4",
                "--no-control-socket",
                "--header-map",
                "dangerous",
                "application.wsgi",
            ],
        );
        // Ends its workers with it.
        let process = Process::start("gunicorn", &mut gunicorn, "QUIT");
        let address = process
            .find("its address", |lines| {
                let line = lines.iter().find_map(|line| line.split_once("Listening at: http://"))?.1;
                line.split(' ').next()?.parse().ok()
            })
            .await
            .expect("gunicorn listens");
        Self { address, _process: process, _folder: folder }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn client(&self) -> Client {
        Client::new(self.address, None, Protocol::Http1)
    }
}

/// Where `scripts/test` put Django and gunicorn.
fn environment() -> PathBuf {
    support::environment("TOLLGATE_TEST_VENV", "venv/django", include_bytes!("data/django/requirements.txt"))
}
