//! Real OpenID Providers behind the real gateway's discovery: their documents, key sets and tokens are their own.
//!
//! Each server (`tests/data/openid`) makes its signing key at start, so that a restart at the same port is a
//! rotation in which the old key is withdrawn at once.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod support;

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use libtest_mimic::Arguments;
use serde_json::{Value, json};
use support::{Client, Process, Protocol, Tollgate, Upstream, config, environment, server_missing, trial};

/// The API behind the gateway, and one that is not.
const OURS: &str = "https://orders.example.test";
const ANOTHER: &str = "https://billing.example.test";

/// Who asks for tokens. The servers know it.
const CLIENT: &str = "orders-worker";

fn main() -> ExitCode {
    let mut trials = Vec::new();
    for software in Software::ALL {
        let missing = software.missing();
        trials.push(trial(
            &format!("{}_issues_tokens_that_pass", software.name()),
            missing.as_deref(),
            move || {
                block_on(issues_tokens_that_pass(software));
            },
        ));
        trials.push(trial(
            &format!("{}_withdraws_its_key", software.name()),
            missing.as_deref(),
            move || {
                block_on(withdraws_its_key(software));
            },
        ));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

async fn issues_tokens_that_pass(software: Software) {
    let (provider, app) = (Provider::start(software, 0).await, Upstream::echo().await);
    let gate = gateway(&provider, &app).await;
    let (good, other) = (provider.token(OURS).await, provider.token(ANOTHER).await);
    assert_eq!(header(&good)["alg"], software.algorithm());
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let connection = gate.client(protocol).connect().await;
        assert_eq!(connection.get("/").await.status, 401);

        app.forget();
        let answer = connection.get("/").bearer(&good).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let request = app.only_request();
        assert_eq!(request.header("x-user-id"), Some(CLIENT));
        assert_eq!(request.header("x-auth-issuer"), Some(provider.issuer.as_str()));
        assert_eq!(request.header("authorization"), None);

        assert_eq!(connection.get("/").bearer(&other).await.status, 401);
        assert_eq!(app.requests_seen(), 1);
    }
    gate.log_line("the refusal", |line| line["reason"] == "wrong_audience").await;
}

async fn withdraws_its_key(software: Software) {
    let (provider, app) = (Provider::start(software, 0).await, Upstream::echo().await);
    let gate = gateway(&provider, &app).await;
    let (old, unseen) = (provider.token(OURS).await, provider.token(OURS).await);
    assert_eq!(gate.get("/").bearer(&old).await.status, 200);

    let port = provider.address.port();
    drop(provider);
    assert_eq!(gate.get("/").bearer(&old).await.status, 200, "an outage withdraws nothing");

    let provider = Provider::start(software, port).await;
    let new = provider.token(OURS).await;
    assert_ne!(header(&new)["kid"], header(&old)["kid"]);
    // The first token of the new key brings the new set, and that set no longer holds the old key.
    let answer = gate.get("/").bearer(&new).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for token in [&old, &unseen] {
        assert_eq!(gate.get("/").bearer(token).await.status, 401);
    }
    gate.log_line("the refusal", |line| line["reason"] == "unknown_key").await;
    assert_eq!(gate.get("/").bearer(&new).await.status, 200);
}

/// A gateway that knows of the provider no more than its issuer, and fetches again only when a token asks for it.
async fn gateway(provider: &Provider, app: &Upstream) -> Tollgate {
    let id = json!({
        "issuer": provider.issuer,
        "keys": { "discovery": true },
        "algorithms": [provider.software.algorithm()],
        "audiences": [OURS],
        "typ": ["at+jwt"],
        "refresh": { "every": "1d" },
        "fetch": { "allow_http": true, "allow_private_addresses": true },
    });
    Tollgate::start(config().set("providers.id", id).route("/*", "id", app)).await
}

fn header(token: &str) -> Value {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice(&header).unwrap()
}

/// Whose provider it is.
#[derive(Debug, Clone, Copy)]
enum Software {
    /// `oidc-provider` from npm.
    OidcProvider,
    /// Authlib's authorization server, in Flask. Its issuer has a path.
    Authlib,
}

impl Software {
    const ALL: [Self; 2] = [Self::OidcProvider, Self::Authlib];

    fn name(self) -> &'static str {
        match self {
            Self::OidcProvider => "oidc_provider",
            Self::Authlib => "authlib",
        }
    }

    fn algorithm(self) -> &'static str {
        match self {
            Self::OidcProvider => "RS256",
            Self::Authlib => "ES256",
        }
    }

    /// Where `scripts/test` put it.
    fn environment(self) -> PathBuf {
        match self {
            Self::OidcProvider => environment(
                "TOLLGATE_TEST_NODE",
                "node/oidc-provider",
                include_bytes!("data/openid/oidc-provider/package-lock.json"),
            ),
            Self::Authlib => environment(
                "TOLLGATE_TEST_AUTHLIB",
                "venv/authlib",
                include_bytes!("data/openid/authlib/requirements.txt"),
            ),
        }
    }

    fn missing(self) -> Option<String> {
        match self {
            Self::OidcProvider => server_missing("node").or_else(|| {
                server_missing(self.environment().join("node_modules/oidc-provider/package.json"))
            }),
            Self::Authlib => server_missing(self.environment().join("bin/flask")),
        }
    }

    /// The server at this port, 0 for any. What it needs to start is put into `folder`.
    fn command(self, port: u16, folder: &Path) -> Command {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/openid");
        let mut command = match self {
            Self::OidcProvider => {
                // Node looks for packages beside the script and nowhere else.
                fs::copy(source.join("oidc-provider/server.mjs"), folder.join("server.mjs")).unwrap();
                symlink(self.environment().join("node_modules"), folder.join("node_modules")).unwrap();
                let mut command = Command::new("node");
                command.arg("server.mjs");
                command
            }
            Self::Authlib => {
                let mut command = Command::new(self.environment().join("bin/python"));
                command.arg(source.join("authlib/server.py")).env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
        };
        command.arg(port.to_string()).current_dir(folder).env("HOME", folder);
        command
    }
}

/// A running provider, in a folder of its own.
struct Provider {
    software: Software,
    issuer: String,
    address: SocketAddr,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Provider {
    async fn start(software: Software, port: u16) -> Self {
        let folder = tempfile::Builder::new().prefix("tollgate-openid-").tempdir().unwrap();
        let process = Process::start(software.name(), &mut software.command(port, folder.path()), "TERM");
        let issuer = process
            .find("its issuer", |lines| {
                lines.iter().find_map(|line| line.strip_prefix("serves ").map(str::to_owned))
            })
            .await
            .expect("the provider serves");
        let address = issuer.strip_prefix("http://").unwrap().split('/').next().unwrap().parse().unwrap();
        Self { software, issuer, address, _process: process, _folder: folder }
    }

    /// An access token for the API `resource` (RFC 8707), by the client's own credentials, from where discovery
    /// says that tokens are.
    async fn token(&self, resource: &str) -> String {
        let client = Client::new(self.address, None, Protocol::Http1);
        // Some servers write the URLs of their document with the name by which they are asked.
        let origin = format!("http://{}", self.address);
        let path = |url: &str| url.strip_prefix(&origin).unwrap().to_owned();
        let document = format!("{}/.well-known/openid-configuration", self.issuer);
        let document = client.get(&path(&document)).host(&self.address.to_string()).await.json();
        let answer = client
            .post(&path(document["token_endpoint"].as_str().unwrap()))
            .header(
                "authorization",
                &format!("Basic {}", STANDARD.encode(format!("{CLIENT}:the-secret-of-{CLIENT}"))),
            )
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("grant_type=client_credentials&scope=orders:read&resource={resource}"))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}
