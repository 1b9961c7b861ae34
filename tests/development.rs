//! What the first start does for a newcomer, and never does for anybody else.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::Arguments;
use serde_json::Value;
use support::{Process, block_on, holds_token, listening, server_missing, trial};
use tempfile::TempDir;

/// As it lies in the repository, for newcomers.
const FILE: &str = include_str!("../gateway.yaml");

fn main() -> ExitCode {
    let missing = server_missing("curl").or_else(|| server_missing("bash"));
    let trials = vec![
        trial("the_printed_commands_work_when_pasted", missing.as_deref(), || {
            block_on(the_printed_commands_work_when_pasted());
        }),
        trial("the_first_start_makes_what_is_missing_and_the_second_takes_it", None, || {
            block_on(the_first_start_makes_what_is_missing_and_the_second_takes_it());
        }),
        trial("is_refused_where_other_machines_can_reach_a_listener", None, || {
            block_on(is_refused_where_other_machines_can_reach_a_listener());
        }),
        trial("without_it_nothing_is_made_and_each_error_says_what_to_do", None, || {
            block_on(without_it_nothing_is_made_and_each_error_says_what_to_do());
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The folder of a newcomer: the repository's own file, with ports that are free here.
fn clone() -> TempDir {
    let file = FILE.replace("127.0.0.1:8443", "127.0.0.1:0").replace("127.0.0.1:9900", "127.0.0.1:0");
    assert_eq!(file.matches("127.0.0.1:0").count(), 2, "both listeners");
    folder_with(&file)
}

fn folder_with(file: &str) -> TempDir {
    let folder = tempfile::Builder::new().prefix("tollgate-development-").tempdir().unwrap();
    fs::write(folder.path().join("gateway.yaml"), file).unwrap();
    folder
}

fn tollgate(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(arguments).current_dir(folder);
    command
}

/// Starts it as `cargo run` does, and waits for its three commands.
async fn start(folder: &Path) -> (Process, Vec<String>) {
    let process = Process::start("tollgate", &mut tollgate(folder, &[]), "TERM");
    let commands = process.find("three commands", |lines| {
        let commands: Vec<_> = lines.iter().filter(|line| line.starts_with("curl ")).cloned().collect();
        (commands.len() == 3).then_some(commands)
    });
    let commands = commands.await.expect("a gateway that starts");
    (process, commands)
}

async fn stop(process: Process) {
    process.signal("TERM");
    let finished = process.finish().await;
    assert!(finished.status.success(), "{finished:?}");
    assert!(!finished.lines.iter().any(|line| holds_token(line)), "{finished:?}");
}

async fn the_printed_commands_work_when_pasted() {
    let folder = clone();
    for start_number in ["the first", "the second"] {
        let (process, commands) = start(folder.path()).await;
        let lines = process.lines();
        assert_eq!(lines.iter().filter_map(|line| listening(line)).count(), 2);
        for route in ["route public: /public/* -> echo", "route everything: /* -> echo"] {
            assert!(lines.iter().any(|line| line.starts_with(route)), "{route}: {lines:#?}");
        }
        let [login, call, metrics] = &commands[..] else { unreachable!("three of them") };

        let tokens: Value = serde_json::from_str(&paste(folder.path(), login)).unwrap();
        assert!(tokens["access"].is_string() && tokens["refresh"].is_string(), "{start_number}: {tokens}");

        let seen: Value = serde_json::from_str(&paste(folder.path(), call)).unwrap();
        assert_eq!(seen["headers"]["x-user-name"], "demo", "{start_number}: {seen}");
        assert_eq!(seen["headers"]["x-user-id"], "1", "{start_number}: {seen}");

        let metrics = paste(folder.path(), metrics);
        assert!(metrics.contains("# TYPE tollgate_requests_total counter"), "{start_number}: {metrics}");
        stop(process).await;
    }
}

/// What a shell of a newcomer shows.
fn paste(folder: &Path, line: &str) -> String {
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(line).current_dir(folder);
    // A proxy of this machine's own knows nothing of its loopback.
    for variable in ["http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        shell.env_remove(variable);
    }
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line}");
    String::from_utf8(output.stdout).unwrap()
}

async fn the_first_start_makes_what_is_missing_and_the_second_takes_it() {
    let folder = clone();
    let (process, _) = start(folder.path()).await;
    for (path, mode) in [
        ("certs/server.key", 0o600),
        ("certs/server.pem", 0o644),
        ("certs/ca.pem", 0o644),
        ("data", 0o700),
        ("data/demo-password", 0o600),
        ("data/keys", 0o700),
        ("data/tollgate.db", 0o600),
        ("data/tollgate.db-wal", 0o600),
        ("data/tollgate.db-shm", 0o600),
    ] {
        assert_eq!(mode_of(&folder.path().join(path)), mode, "{path}");
    }
    let keys: Vec<_> = fs::read_dir(folder.path().join("data/keys")).unwrap().collect();
    let [Ok(key)] = &keys[..] else { panic!("one signing key: {keys:?}") };
    assert_eq!(mode_of(&key.path()), 0o600);
    let password = fs::read_to_string(folder.path().join("data/demo-password")).unwrap();
    assert!(password.len() >= 32, "random enough");
    assert!(!process.lines().iter().any(|line| line.contains(&password)), "the password is not printed");
    stop(process).await;

    let first = files(folder.path());
    let (process, _) = start(folder.path()).await;
    stop(process).await;
    assert_eq!(files(folder.path()), first, "the second start makes nothing new");
}

/// All files and what they hold, but for the database, whose own files come and go beside it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let below = files(&path).into_iter();
            found.extend(below.map(|(below, content)| (format!("{name}/{below}"), content)));
        } else if name == "tollgate.db" {
            found.insert(name, Vec::new());
        } else if !name.starts_with("tollgate.db-") {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}

fn mode_of(path: &Path) -> u32 {
    let metadata = fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    metadata.permissions().mode() & 0o777
}

async fn is_refused_where_other_machines_can_reach_a_listener() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8443"] {
        let folder = folder_with(&FILE.replace("127.0.0.1:8443", &format!("\"{address}\"")));
        for command in [&["run"][..], &["check"]] {
            let output = tollgate(folder.path(), command).output().unwrap();
            let errors = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{errors}");
            assert!(errors.contains("gateway.yaml:13:16") && errors.contains("loopback"), "{errors}");
        }
        assert_eq!(files(folder.path()).len(), 1, "nothing was made");
    }
}

async fn without_it_nothing_is_made_and_each_error_says_what_to_do() {
    let file = FILE
        .replace("development: true", "development: false")
        .replace("127.0.0.1:8443", "127.0.0.1:0")
        .replace("127.0.0.1:9900", "127.0.0.1:0");
    let folder = folder_with(&file);
    let path = |name: &str| folder.path().join(name);
    let refused = async |wanted: &[&str]| {
        let before = files(folder.path());
        let process = Process::start("tollgate", &mut tollgate(folder.path(), &["run"]), "KILL");
        let finished = process.finish().await;
        let text = finished.lines.join("\n");
        assert_eq!(finished.status.code(), Some(1), "{text}");
        for word in wanted {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
        assert_eq!(files(folder.path()), before, "nothing was made");
    };
    let run = |arguments: &[&str], input: Option<&str>| {
        let output = match input {
            None => tollgate(folder.path(), arguments).output(),
            Some(input) => {
                fs::write(path("input"), input).unwrap();
                let input = fs::File::open(path("input")).unwrap();
                tollgate(folder.path(), arguments).stdin(input).output()
            }
        }
        .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };

    refused(&["data/keys", "tollgate key generate"]).await;
    run(&["key", "generate"], None);
    refused(&["data/tollgate.db", "tollgate user add"]).await;
    run(&["user", "add", "ada", "--password-stdin"], Some("a-long-password\n"));
    refused(&["server.listeners[0].tls.certificates", "certs/server.pem"]).await;

    let authority = support::Authority::new();
    let issued = authority.issue(&["localhost"]);
    fs::create_dir(path("certs")).unwrap();
    fs::write(path("certs/server.pem"), issued.certificate).unwrap();
    fs::write(path("certs/server.key"), issued.key).unwrap();
    fs::set_permissions(path("certs/server.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let process = Process::start("tollgate", &mut tollgate(folder.path(), &["run"]), "TERM");
    let listens = process.find("its listener", |lines| lines.iter().find_map(|line| listening(line))).await;
    assert!(listens.is_some());
    assert!(!process.lines().iter().any(|line| line.starts_with("curl ")), "no demo user, no commands");
    stop(process).await;
    assert!(!path("data/demo-password").exists() && !path("certs/ca.pem").exists());
    // The first and only user has the first id; nobody came before.
    assert!(run(&["token", "mint", "--user", "ada"], None).starts_with("eyJ"));
    let absent = tollgate(folder.path(), &["token", "mint", "--user", "demo"]).output().unwrap();
    assert!(String::from_utf8_lossy(&absent.stderr).contains("no user \"demo\""));
}
