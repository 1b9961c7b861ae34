//! An OpenLDAP of a test's own, on a private port.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Authority, Process};

/// A running directory below `dc=example,dc=com`, whose administrator is [`Directory::ADMINISTRATOR`].
pub struct Directory {
    folder: tempfile::TempDir,
    authority: Authority,
    port: u16,
    process: Option<Process>,
}

impl Directory {
    /// May read and write everything; its password is `secret`.
    pub const ADMINISTRATOR: &'static str = "cn=admin,dc=example,dc=com";

    /// The program without which there is none.
    pub const PROGRAM: &'static str = "/usr/sbin/slapd";

    /// Starts with these entries (LDIF, RFC 2849), below those of the root, `ou=people` and `ou=groups`. Nobody may
    /// bind anonymously; each may read his own entry.
    pub async fn start(entries: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("tg-ldap-").tempdir_in("/tmp").unwrap();
        let authority = Authority::new();
        let issued = authority.issue(&["localhost", "127.0.0.1"]);
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("db")).unwrap();
        for (name, content) in [
            ("server.pem", issued.certificate),
            ("server.key", issued.key),
            ("ca.pem", authority.pem()),
            ("entries.ldif", format!("{ROOT}{entries}")),
            ("slapd.conf", CONFIGURATION.replace("FOLDER", folder.path().to_str().unwrap())),
        ] {
            fs::write(path(name), content).unwrap();
        }
        let loaded = Command::new("/usr/sbin/slapadd")
            .arg("-f")
            .arg(path("slapd.conf"))
            .arg("-l")
            .arg(path("entries.ldif"))
            .output()
            .unwrap();
        assert!(loaded.status.success(), "slapadd: {}", String::from_utf8_lossy(&loaded.stderr));
        let mut directory = Self { folder, authority, port: 0, process: None };
        // The server can't choose a port itself: another program may take the free one meanwhile.
        for _ in 0..10 {
            directory.port = free_port();
            if directory.run().await {
                return directory;
            }
        }
        panic!("slapd does not start");
    }

    /// Starts the server, also again after [`Directory::stop`]. Tells whether it listens.
    pub async fn run(&mut self) -> bool {
        let mut command = Command::new(Self::PROGRAM);
        command.arg("-f").arg(self.path("slapd.conf"));
        command.args(["-h", &self.url(), "-d", "256"]);
        let process = Process::start("slapd", &mut command, "TERM");
        let started = process.find("its start", |lines| {
            lines.iter().any(|line| line.contains("slapd starting")).then_some(())
        });
        let started = started.await.is_some();
        if started {
            // It says so a moment before it listens.
            let address = ("127.0.0.1", self.port);
            let listening = async {
                while tokio::net::TcpStream::connect(address).await.is_err() {
                    tokio::task::yield_now().await;
                }
            };
            super::within("slapd to listen", listening).await;
        }
        self.process = started.then_some(process);
        started
    }

    /// Stops the server and keeps its data.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Without encryption; StartTLS is offered.
    pub fn url(&self) -> String {
        format!("ldap://localhost:{}", self.port)
    }

    /// Whom its certificate is by.
    pub fn authority_pem(&self) -> String {
        self.authority.pem()
    }

    /// What it logged: one line for each operation.
    pub fn lines(&self) -> Vec<String> {
        self.process.as_ref().map(Process::lines).unwrap_or_default()
    }

    /// Removes an entry.
    pub fn delete(&self, dn: &str) {
        let output = Command::new("/usr/bin/ldapdelete")
            .args(["-x", "-H", &self.url(), "-D", Self::ADMINISTRATOR, "-w", "secret", dn])
            .output()
            .unwrap();
        assert!(output.status.success(), "ldapdelete: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Changes entries (LDIF with `changetype`, RFC 2849).
    pub fn modify(&self, changes: &str) {
        fs::write(self.path("changes.ldif"), changes).unwrap();
        let output = Command::new("/usr/bin/ldapmodify")
            .args(["-x", "-H", &self.url(), "-D", Self::ADMINISTRATOR, "-w", "secret", "-f"])
            .arg(self.path("changes.ldif"))
            .output()
            .unwrap();
        assert!(output.status.success(), "ldapmodify: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Whether the programs are there; `None` where they are.
pub fn directory_missing() -> Option<String> {
    let programs = [Directory::PROGRAM, "/usr/bin/ldapdelete"];
    programs.into_iter().find_map(|program| super::server_missing(Path::new(program)))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

const CONFIGURATION: &str = "\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile FOLDER/pid
TLSCertificateFile FOLDER/server.pem
TLSCertificateKeyFile FOLDER/server.key
disallow bind_anon
database mdb
suffix dc=example,dc=com
rootdn cn=admin,dc=example,dc=com
rootpw secret
directory FOLDER/db
maxsize 16777216
overlay memberof
access to attrs=userPassword by anonymous auth by * none
access to * by self read by * none
";

const ROOT: &str = "\
dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=com
objectClass: organizationalUnit
ou: groups

";
