//! A `gateway.yaml` for one test, and the private folder in which it lies.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate::base::KeyFamily;

use super::{Authority, Idp, Upstream};

/// The file in the making. It is written as JSON, which every YAML reader takes.
#[derive(Debug, Clone)]
pub struct Config {
    text: Option<String>,
    root: Value,
    files: Vec<(String, Vec<u8>)>,
    environment: Vec<(String, String)>,
}

/// A folder with a `gateway.yaml` and all that it names, before a gateway was started there.
pub struct Home {
    pub(super) folder: TempDir,
    pub(super) authority: Authority,
    pub(super) environment: Vec<(String, String)>,
    pub(super) listeners: usize,
}

/// One TLS listener, an admin listener, two workers; no route yet.
pub fn config() -> Config {
    let root = json!({
        "server": {
            "listeners": [{
                "address": "127.0.0.1:0",
                "tls": { "certificates": [{ "certificate": "certs/server.pem", "key": "certs/server.key" }] },
            }],
            "workers": 2,
            "shutdown_grace": "5s",
        },
        "admin": { "address": "127.0.0.1:0" },
        "routes": [],
    });
    Config { text: None, root, files: Vec::new(), environment: Vec::new() }
}

impl Config {
    /// A file written out by the test. `certs/server.pem` and `certs/server.key` are there for it to name.
    pub fn text(text: &str) -> Self {
        Self { text: Some(text.to_owned()), ..config() }
    }

    /// Takes the tokens of `idp`, by its key set or secret.
    pub fn provider(mut self, name: &str, idp: &Idp) -> Self {
        let keys = if idp.algorithm.family() == KeyFamily::Hmac {
            let file = format!("keys/{name}.secret");
            self = self.file(&file, idp.secret());
            json!({ "secret": format!("file:{file}") })
        } else {
            let file = format!("keys/{name}.jwks.json");
            self = self.file(&file, json!({ "keys": [idp.jwk()] }).to_string());
            json!({ "jwks_file": file })
        };
        let provider = json!({
            "issuer": idp.issuer,
            "keys": keys,
            "algorithms": [idp.algorithm.name()],
            "audiences": [idp.audience],
        });
        self.set(&format!("providers.{name}"), provider)
    }

    /// The built-in token endpoints, whose tokens the provider `local` takes.
    pub fn issuer(self) -> Self {
        self.set(
            "issuer",
            json!({ "store": "sqlite://data/tollgate.db", "claims": { "username": { "from": "username" } } }),
        )
        .set("providers.local", json!({ "issuer": "https://gateway.example.test", "keys": { "own": true } }))
    }

    /// A route for those with a token of `provider`.
    pub fn route(self, path: &str, provider: &str, upstream: &Upstream) -> Self {
        self.push_route(json!({
            "match": { "path": path },
            "auth": { "providers": [provider] },
            "upstream": upstream.url(),
        }))
    }

    /// A route for everybody.
    pub fn open_route(self, path: &str, upstream: &Upstream) -> Self {
        self.push_route(json!({ "match": { "path": path }, "auth": "none", "upstream": upstream.url() }))
    }

    /// A route, written out.
    pub fn push_route(mut self, route: Value) -> Self {
        self.root["routes"].as_array_mut().unwrap().push(route);
        self
    }

    /// One more listener, without TLS.
    pub fn plain_listener(mut self) -> Self {
        self.root["server"]["listeners"].as_array_mut().unwrap().push(json!({ "address": "127.0.0.1:0" }));
        self
    }

    /// Sets any key of the file: `server.limits.request_head`, `routes.0.identity`.
    pub fn set(mut self, key: &str, value: Value) -> Self {
        let mut place = &mut self.root;
        for part in key.split('.') {
            place = match part.parse::<usize>() {
                Ok(index) => &mut place[index],
                Err(_) => &mut place[part],
            };
        }
        *place = value;
        self
    }

    /// A file beside the `gateway.yaml`, readable by its owner only.
    pub fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.files.push((path.to_owned(), content.as_ref().to_vec()));
        self
    }

    /// An environment variable of the gateway.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes everything into a private folder.
    pub fn write(self) -> Home {
        let folder = tempfile::Builder::new().prefix("tollgate-test-").tempdir().unwrap();
        let authority = Authority::new();
        let server = authority.issue(&["localhost", "127.0.0.1", "*.example.test"]);
        let text = self.text.unwrap_or_else(|| serde_json::to_string_pretty(&self.root).unwrap());
        let listeners = count_listeners(&text);
        let home = Home { folder, authority, environment: self.environment, listeners };
        home.write("certs/server.pem", server.certificate);
        home.write("certs/server.key", server.key);
        for (path, content) in self.files {
            home.write(&path, content);
        }
        home.write("gateway.yaml", text);
        home
    }
}

impl Home {
    /// A path in the folder.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// The certificate of the authority that issued the gateway's own.
    pub fn authority_pem(&self) -> String {
        self.authority.pem()
    }

    /// Writes a file there, readable by its owner only.
    pub fn write(&self, relative: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
        file.write_all(content.as_ref()).unwrap();
    }

    /// Issues a certificate for these names, and writes it with its key: `certs/NAME.pem` and `certs/NAME.key`.
    pub fn certificate(&self, name: &str, names: &[&str]) {
        let issued = self.authority.issue(names);
        self.write(format!("certs/{name}.pem"), issued.certificate);
        self.write(format!("certs/{name}.key"), issued.key);
    }

    /// The program itself, to be run in the folder.
    pub fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the program to its end, with this text as its standard input.
    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that ends without reading it has its reasons, which its output tells.
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        child.wait_with_output().unwrap()
    }

    /// Makes a signing key for the issuer, by the command that an operator would use.
    pub fn generate_key(&self) {
        let output = self.run(&["key", "generate", "--config", "gateway.yaml"], "");
        assert!(output.status.success(), "key generate: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes a user of the gateway's own, by the command that an operator would use.
    pub fn add_user(&self, username: &str, password: &str) {
        let output = self.run(
            &["user", "add", username, "--password-stdin", "--config", "gateway.yaml"],
            &format!("{password}\n"),
        );
        assert!(output.status.success(), "user add: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl From<Config> for Home {
    fn from(config: Config) -> Self {
        config.write()
    }
}

/// Those of the server and of the admin part, whose addresses the gateway prints.
fn count_listeners(text: &str) -> usize {
    let file: Value = serde_yaml::from_str(text).unwrap_or_default();
    let of_server = file["server"]["listeners"].as_array().map_or(0, Vec::len);
    of_server + usize::from(file["admin"].is_object())
}
