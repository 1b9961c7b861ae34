//! A PostgreSQL or MariaDB of a test's own: reached by a socket in a private folder, or by a port of this machine too, gone
//! with the test.
//!
//! Neither server runs as root, so as root they get the user that Debian's packages made for them.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Process;
use super::tls::Issued;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatabaseKind {
    /// PostgreSQL, with the role and the database `site`.
    Postgres,
    /// MariaDB, with the database `site` for its `root`.
    MariaDb,
}

/// A running server.
#[derive(Debug)]
pub struct DatabaseServer {
    kind: DatabaseKind,
    network: Option<Network>,
    // Before its folder goes: MySQL would wait for ever for its files.
    process: Option<Process>,
    folder: tempfile::TempDir,
}

/// How it is reached by TCP.
#[derive(Debug, Clone, Copy)]
struct Network {
    /// Another one after each start.
    port: u16,
    /// Nobody is let in without.
    tls: bool,
}

impl DatabaseKind {
    /// The program without which there is none.
    pub fn program(self) -> PathBuf {
        match self {
            Self::Postgres => postgres("postgres"),
            Self::MariaDb => PathBuf::from("/usr/sbin/mariadbd"),
        }
    }

    /// The user that it runs as where the tests run as root.
    fn user(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mysql",
        }
    }
}

impl DatabaseServer {
    /// Makes an empty database and starts its server.
    pub async fn start(kind: DatabaseKind) -> Self {
        Self::start_with(kind, None, None).await
    }

    /// One that a port of this machine leads to as well: by TLS alone with this certificate, and never by TLS without one.
    pub async fn start_on_network(kind: DatabaseKind, certificate: Option<&Issued>) -> Self {
        let network = Network { port: 0, tls: certificate.is_some() };
        Self::start_with(kind, Some(network), certificate).await
    }

    async fn start_with(kind: DatabaseKind, network: Option<Network>, certificate: Option<&Issued>) -> Self {
        // Short: the path of a socket has a hundred characters at most.
        let folder = tempfile::Builder::new().prefix("tg-db-").tempdir_in("/tmp").unwrap();
        if let Some((user, group)) = ids(kind.user()) {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let mut server = Self { kind, network, process: None, folder };
        let data = server.path("data");
        match kind {
            DatabaseKind::Postgres => {
                let made = server
                    .command(&postgres("initdb"))
                    .args(["--no-sync", "--auth=trust", "--username=site", "--encoding=UTF8", "--locale=C"])
                    .arg("--pgdata")
                    .arg(&data)
                    .output();
                succeeded("initdb", &made.unwrap());
            }
            DatabaseKind::MariaDb => {
                let made = server
                    .command(Path::new("/usr/bin/mariadb-install-db"))
                    .args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"])
                    .arg(format!("--datadir={}", data.display()))
                    .output();
                succeeded("mariadb-install-db", &made.unwrap());
            }
        }
        if let Some(certificate) = certificate {
            server.keep("server.pem", &certificate.certificate);
            server.keep("server.key", &certificate.key);
            if kind == DatabaseKind::Postgres {
                let by_tls = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
                fs::write(data.join("pg_hba.conf"), by_tls).unwrap();
            }
        }
        server.run().await;
        match kind {
            DatabaseKind::Postgres => server.execute_in("postgres", "CREATE DATABASE site"),
            DatabaseKind::MariaDb => server.execute_in("", "CREATE DATABASE site"),
        }
        server
    }

    /// Starts the server, also again after [`DatabaseServer::stop`].
    pub async fn run(&mut self) {
        // Somebody else may take the port before the server does.
        for _ in 0..5 {
            if let Some(network) = &mut self.network {
                let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                network.port = free.local_addr().unwrap().port();
            }
            self.process = self.try_run().await;
            if self.process.is_some() || self.network.is_none() {
                break;
            }
        }
        assert!(self.process.is_some(), "the database does not start");
    }

    /// `None` if it ended at once.
    async fn try_run(&self) -> Option<Process> {
        let (data, socket) = (self.path("data"), self.socket());
        let (mut command, ready, stop) = match self.kind {
            DatabaseKind::Postgres => {
                let mut command = self.command(&postgres("postgres"));
                command.arg("-D").arg(&data).arg("-k").arg(&socket);
                command.args(["-c", "fsync=off"]);
                match self.network {
                    None => command.args(["-c", "listen_addresses="]),
                    Some(Network { port, .. }) => {
                        command.args(["-c", "listen_addresses=127.0.0.1", "-c", &format!("port={port}")])
                    }
                };
                if self.network.is_some_and(|network| network.tls) {
                    command.args(["-c", "ssl=on"]);
                    for (name, file) in [("ssl_cert_file", "server.pem"), ("ssl_key_file", "server.key")] {
                        command.args(["-c", &format!("{name}={}", self.path(file).display())]);
                    }
                }
                (command, "ready to accept connections", "INT")
            }
            DatabaseKind::MariaDb => {
                let mut command = self.command(Path::new("/usr/sbin/mariadbd"));
                command
                    .args(["--no-defaults", "--character-set-server=utf8mb4"])
                    .args(["--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0"])
                    .arg(format!("--datadir={}", data.display()))
                    .arg(format!("--socket={}", socket.display()))
                    .arg(format!("--pid-file={}", self.path("pid").display()));
                match self.network {
                    None => command.arg("--skip-networking"),
                    Some(Network { port, .. }) => {
                        command.args(["--bind-address=127.0.0.1", "--skip-name-resolve"]);
                        command.arg(format!("--port={port}"))
                    }
                };
                match self.network {
                    Some(Network { tls: true, .. }) => command
                        .arg("--require-secure-transport")
                        .arg(format!("--ssl-cert={}", self.path("server.pem").display()))
                        .arg(format!("--ssl-key={}", self.path("server.key").display())),
                    _ => command.arg("--skip-ssl"),
                };
                (command, "ready for connections", "TERM")
            }
        };
        let process = Process::start("the database", &mut command, stop);
        let is_ready = |lines: &[String]| lines.iter().any(|line| line.contains(ready)).then_some(());
        process.find(ready, is_ready).await.map(|()| process)
    }

    /// Stops the server and keeps its data.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Carries a statement out, or several, in the database `site`.
    pub fn execute(&self, statement: &str) {
        self.execute_in("site", statement);
    }

    /// As [`DatabaseServer::execute`], in another database of it.
    pub fn execute_in(&self, database: &str, statement: &str) {
        let mut client = match self.kind {
            DatabaseKind::Postgres => {
                let mut client = Command::new(postgres("psql"));
                client.args(["-q", "-v", "ON_ERROR_STOP=1", "-U", "site", "-d", database, "-h"]);
                client.arg(self.socket()).args(["-c", statement]);
                client.args(self.network.map(|network| format!("--port={}", network.port)));
                client
            }
            DatabaseKind::MariaDb => {
                let mut client = Command::new("/usr/bin/mariadb");
                client.arg("--no-defaults").arg(format!("--socket={}", self.socket().display()));
                client.args(["-u", "root", "-e", statement]);
                client.args(Some(database).filter(|database| !database.is_empty()));
                client
            }
        };
        succeeded(statement, &client.output().unwrap());
    }

    /// The folder of PostgreSQL's socket, or MariaDB's socket itself.
    pub fn socket(&self) -> PathBuf {
        match self.kind {
            DatabaseKind::Postgres => self.folder.path().to_owned(),
            DatabaseKind::MariaDb => self.path("s"),
        }
    }

    /// As the gateway names it.
    pub fn url(&self) -> String {
        self.url_of("site")
    }

    /// As the gateway names another database of it.
    pub fn url_of(&self, name: &str) -> String {
        let socket = self.socket();
        match self.kind {
            DatabaseKind::Postgres => format!("postgres://site@localhost/{name}?host={}", socket.display()),
            DatabaseKind::MariaDb => format!("mysql://root@localhost/{name}?socket={}", socket.display()),
        }
    }

    /// As the gateway names it by this name or address of the machine, with these settings.
    pub fn url_at(&self, host: &str, settings: &str) -> String {
        let port = self.network.expect("it is on the network").port;
        match self.kind {
            DatabaseKind::Postgres => format!("postgres://site@{host}:{port}/site?{settings}"),
            DatabaseKind::MariaDb => format!("mysql://root@{host}:{port}/site?{settings}"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that the server alone can read.
    fn keep(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((user, group)) = ids(self.kind.user()) {
            chown(&path, Some(user), Some(group)).unwrap();
        }
    }

    /// A program that is not run as root.
    fn command(&self, program: &Path) -> Command {
        let mut command = match ids(self.kind.user()) {
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={user}"), format!("--regid={group}")]);
                command.arg("--clear-groups").arg(program);
                command
            }
            None => Command::new(program),
        };
        // Of two servers that begin at once neither may find the other's files.
        command.current_dir(self.folder.path()).env("TMPDIR", self.folder.path()).env("LC_ALL", "C");
        command
    }
}

/// The ids of a user, if the tests run as root.
fn ids(user: &str) -> Option<(u32, u32)> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let entry = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|entry| entry[0] == user);
    let entry = entry.unwrap_or_else(|| panic!("there is no user {user}"));
    Some((entry[2].parse().unwrap(), entry[3].parse().unwrap()))
}

/// One of PostgreSQL's programs, of the newest version: Debian keeps them out of `PATH`.
fn postgres(program: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .max()
        .unwrap_or_default();
    PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin/{program}"))
}

fn succeeded(what: &str, output: &std::process::Output) {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
}
