//! The real djangorestframework-simplejwt: a Django project in `tests/data/simplejwt/site`, served by gunicorn. What is
//! recorded must be what it answers today, or the comparison is of no worth.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::case::Lifetimes;
use crate::profile::Profile;
use crate::support::{self, Client, Process, Protocol};

/// The site of one profile, in a folder of its own.
pub(crate) struct Site {
    address: SocketAddr,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Site {
    pub(crate) async fn start(profile: Profile, lifetimes: Lifetimes) -> Self {
        let folder = tempfile::Builder::new().prefix("tollgate-simplejwt-").tempdir().unwrap();
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/simplejwt");
        let mut gunicorn = Command::new(program());
        gunicorn
            .args(["--bind", "127.0.0.1:0", "--threads", "4", "--no-control-socket", "recorded.wsgi"])
            .current_dir(data.join("site"))
            .env("RECORDED_PROFILE", profile.letter())
            .env("RECORDED_GOLDEN", data.join("golden.json"))
            .env("RECORDED_DATABASE", folder.path().join("db.sqlite3"))
            .env("RECORDED_ACCESS_LIFETIME", lifetimes.access.to_string())
            .env("RECORDED_REFRESH_LIFETIME", lifetimes.refresh.to_string())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("HOME", folder.path());
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

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address, None, Protocol::Http1)
    }

    /// An act on the table of users, and what it returns.
    pub(crate) async fn admin(&self, act: &[Value]) -> Value {
        let answer = self.client().post("/acts/").json(json!(act)).await;
        assert_eq!(answer.status, 200, "{act:?}: {}", answer.text());
        answer.json()
    }
}

/// Where `scripts/test` put SimpleJWT and gunicorn.
pub(crate) fn program() -> PathBuf {
    let pinned = include_bytes!("../data/simplejwt/site/requirements.txt");
    support::environment("TOLLGATE_TEST_SIMPLEJWT", "venv/simplejwt", pinned).join("bin/gunicorn")
}
