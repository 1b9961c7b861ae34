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
use support::{
    Answer, Client, Process, Protocol, Tollgate, Upstream, block_on, config, environment, server_missing,
    trial, within,
};

/// The API behind the gateway, and one that is not.
const OURS: &str = "https://orders.example.test";
const ANOTHER: &str = "https://billing.example.test";

/// The same, with tokens that only the provider can read.
const OURS_OPAQUE: &str = "https://orders.example.test/opaque";
const ANOTHER_OPAQUE: &str = "https://billing.example.test/opaque";

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
        trials.push(trial(
            &format!("{}_answers_introspection", software.name()),
            missing.as_deref(),
            move || {
                block_on(answers_introspection(software));
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

async fn answers_introspection(software: Software) {
    let (provider, app) = (Provider::start(software, 0).await, Upstream::echo().await);
    let id = json!({
        "issuer": provider.issuer,
        "introspection": {
            "endpoint": provider.endpoint("introspection_endpoint").await,
            "client_id": "gate",
            "client_secret": "${GATE_SECRET}",
            "cache": "2s",
        },
        "audiences": [OURS_OPAQUE],
        "fetch": { "allow_http": true, "allow_private_addresses": true },
    });
    let file = config().env("GATE_SECRET", "gate:100%+/=secret").set("providers.id", id).push_route(json!({
        "match": { "path": "/*" }, "auth": { "providers": ["id"] }, "upstream": app.url(),
        "identity": { "headers": {
            "X-Client": "client_id", "X-Scope": "scope", "X-Auth-Issuer": { "from": "issuer" },
        } },
    }));
    let gate = Tollgate::start(file).await;
    let (good, other) = (provider.token(OURS_OPAQUE).await, provider.token(ANOTHER_OPAQUE).await);
    assert!(!good.contains('.'), "it is no JWT");

    let answer = gate.get("/").bearer(&good).await;
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), gate.lines().join("\n"));
    let request = app.only_request();
    let header = |name| request.header(name);
    let expected = [Some(CLIENT), Some("orders:read"), Some(provider.issuer.as_str()), None];
    assert_eq!(["x-client", "x-scope", "x-auth-issuer", "authorization"].map(header), expected);
    for (token, reason) in [(other.as_str(), "wrong_audience"), ("made-up", "inactive_token")] {
        assert_eq!(gate.get("/").bearer(token).await.status, 401, "{reason}");
        gate.log_line(reason, |line| line["reason"] == reason).await;
    }

    provider.revoke(&good).await;
    let revoked = std::time::Instant::now();
    within("the end of the revoked token", async {
        while gate.get("/").bearer(&good).await.status != 401 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(revoked.elapsed() < std::time::Duration::from_secs(4), "the bound is 2 seconds");
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
        let form = format!("grant_type=client_credentials&scope=orders:read&resource={resource}");
        let answer = self.post("token_endpoint", form).await;
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// Withdraws one of the client's tokens (RFC 7009).
    async fn revoke(&self, token: &str) {
        self.post("revocation_endpoint", format!("token={token}&token_type_hint=access_token")).await;
    }

    /// Asks as the client.
    async fn post(&self, endpoint: &str, form: String) -> Answer {
        let credential = STANDARD.encode(format!("{CLIENT}:the-secret-of-{CLIENT}"));
        let answer = self
            .client()
            .post(&self.path(&self.endpoint(endpoint).await))
            .header("authorization", &format!("Basic {credential}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer
    }

    /// A URL of the issuer's document.
    async fn endpoint(&self, name: &str) -> String {
        let document = format!("{}/.well-known/openid-configuration", self.issuer);
        // Some servers write the URLs of their document with the name by which they are asked.
        let document = self.client().get(&self.path(&document)).host(&self.address.to_string()).await.json();
        document[name].as_str().unwrap().to_owned()
    }

    fn client(&self) -> Client {
        Client::new(self.address, None, Protocol::Http1)
    }

    fn path(&self, url: &str) -> String {
        url.strip_prefix(&format!("http://{}", self.address)).unwrap().to_owned()
    }
}
