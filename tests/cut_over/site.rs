//! The real SimpleJWT (`tests/data/cut-over`) before and after Tollgate, over one database.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::support::{self, Answer, Connection, Home, Protocol, Tollgate, Upstream, config};

/// More at once would only wait for SQLite's lock.
const AT_ONCE: usize = 4;

/// A Django project in a folder of its own.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("tollgate-site-").tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cut-over");
        fs::create_dir(folder.path().join("shop")).unwrap();
        for file in ["tool.py", "shop/__init__.py", "shop/settings.py", "shop/urls.py"] {
            fs::copy(source.join(file), folder.path().join(file)).unwrap();
        }
        Self { folder }
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("db.sqlite3")
    }

    /// Lets the site do something with these tokens.
    fn run(&self, arguments: &[&str], tokens: &[String]) -> Value {
        let mut python = Command::new(environment().join("bin/python"))
            .arg("tool.py")
            .args(arguments)
            .current_dir(self.folder.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        python.stdin.take().unwrap().write_all(json!(tokens).to_string().as_bytes()).unwrap();
        let output = python.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn issue(&self, count: usize) -> Vec<String> {
        let tokens = self.run(&["issue", &count.to_string()], &[]);
        let tokens: Vec<String> = serde_json::from_value(tokens).unwrap();
        assert_eq!(tokens.len(), count);
        tokens
    }

    /// What one of the site's views says to each token.
    fn post(&self, view: &str, tokens: &[String]) -> Vec<(u16, Value)> {
        serde_json::from_value(self.run(&[view], tokens)).unwrap()
    }

    /// A gateway whose file `tollgate import` made of the site's settings.
    async fn gateway(&self, app: &Upstream) -> Tollgate {
        let imported = tempfile::tempdir().unwrap();
        let settings = self.folder.path().join("shop/settings.py");
        let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["import", "simplejwt", settings.to_str().unwrap(), "--output", "gateway.yaml"])
            .args(["--upstream", &app.url()])
            .current_dir(imported.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = fs::read_to_string(imported.path().join("gateway.yaml")).unwrap();
        let file: Value = serde_yaml::from_str(&text).unwrap();
        let mut file_of_test = config()
            .file("secrets/signing-key", fs::read(imported.path().join("secrets/signing-key")).unwrap());
        for section in ["providers", "issuer", "upstreams", "routes"] {
            file_of_test = file_of_test.set(section, file[section].clone());
        }
        Tollgate::start(Home::from(file_of_test)).await
    }
}

/// Where `scripts/test` put SimpleJWT.
pub(crate) fn environment() -> PathBuf {
    let pinned = include_bytes!("../data/simplejwt/site/requirements.txt");
    support::environment("TOLLGATE_TEST_SIMPLEJWT", "venv/simplejwt", pinned)
}

/// What an endpoint of the gateway says to each token.
async fn post(connection: &Connection, endpoint: &str, tokens: &[String]) -> Vec<Answer> {
    let path = format!("/api/token/{endpoint}/");
    let one = |token: &String| connection.post(&path).json(json!({ "refresh": token })).into_future();
    futures_util::stream::iter(tokens.iter().map(one)).buffered(AT_ONCE).collect().await
}

/// The refresh tokens of answers that are all good.
fn renewed(answers: &[Answer]) -> Vec<String> {
    let token = |answer: &Answer| {
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["refresh"].as_str().unwrap().to_owned()
    };
    answers.iter().map(token).collect()
}

fn assert_blacklisted(answers: &[(u16, Value)]) {
    for (status, body) in answers {
        assert_eq!((*status, &body["detail"]), (401, &json!("Token is blacklisted")), "{body}");
    }
}

fn seen(answers: &[Answer]) -> Vec<(u16, Value)> {
    answers.iter().map(|answer| (answer.status.as_u16(), answer.json())).collect()
}

pub(crate) async fn a_thousand_sessions_go_over_and_back() {
    let site = Site::new();
    site.run(&["make", "20"], &[]);
    // A thousand, and twice ten that end on the way.
    let issued = site.issue(1_020);
    let (ended_there, alive) = issued.split_at(10);
    assert!(site.post("blacklist", ended_there).iter().all(|(status, _)| *status == 200));

    // Of none of the sessions that are counted below.
    let (_, pair_there) = &site.post("refresh", &site.issue(1))[0];
    let access_there = pair_there["access"].as_str().unwrap();

    // The cut-over.
    let app = Upstream::echo().await;
    let gate = site.gateway(&app).await;
    let connection = gate.client(Protocol::Http2).connect().await;
    assert_eq!(connection.get("/orders").bearer(access_there).await.status, 200);
    assert_blacklisted(&seen(&post(&connection, "refresh", ended_there).await));
    let answers = post(&connection, "refresh", alive).await;
    let taken_over = renewed(&answers);
    assert_eq!(taken_over.len(), 1_010);
    let access_here = answers[1_009].json()["access"].as_str().unwrap().to_owned();
    assert_blacklisted(&seen(&post(&connection, "refresh", &alive[..10]).await));
    let (ended_here, alive_here) = taken_over.split_at(10);
    for answer in post(&connection, "blacklist", ended_here).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_blacklisted(&seen(&post(&connection, "refresh", ended_here).await));

    // The roll-back.
    drop(connection);
    gate.stop().await;
    let shown = site.run(&["show"], &[access_here.clone(), format!("{access_here}x")]);
    let shown: Vec<u16> = serde_json::from_value(shown).unwrap();
    assert_eq!(shown, [200, 401]);
    for ended in [ended_there, ended_here, alive] {
        assert_blacklisted(&site.post("refresh", ended));
    }
    let back = site.post("refresh", alive_here);
    assert_eq!(back.len(), 1_000);
    for (status, body) in back {
        assert_eq!(status, 200, "{body}");
    }
}

pub(crate) async fn outage() {
    let site = Site::new();
    site.run(&["make", "1"], &[]);
    let tokens = site.issue(2);
    let app = Upstream::echo().await;
    let gate = site.gateway(&app).await;
    let connection = gate.client(Protocol::Http1).connect().await;
    let aside = site.folder.path().join("aside.sqlite3");
    fs::rename(site.database(), &aside).unwrap();
    for endpoint in ["refresh", "blacklist"] {
        let answer = &post(&connection, endpoint, &tokens[..1]).await[0];
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").is_some());
    }
    fs::rename(&aside, site.database()).unwrap();
    renewed(&post(&connection, "refresh", &tokens).await);
}
