//! The commands of the program, as an operator types them.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod tokens;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};

use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};
use support::{Config, Home, Idp, Protocol, Tollgate, Upstream, block_on, config, server_missing, trial};

use tokens::{
    a_generated_key_signs_after_a_restart_and_the_old_one_still_verifies,
    a_minted_token_passes_the_route_and_the_inspection, inspect_says_why_a_token_is_refused,
    mint_refuses_what_would_mean_nothing, mint_says_when_a_token_lacks_the_claims_of_the_hook,
};
use tollgate::base::Algorithm;

const PASSWORD: &str = "Zq7-a-password-that-nothing-prints";

/// Every command, with the arguments that it can't do without.
const COMMANDS: [&[&str]; 21] = [
    &[],
    &["run"],
    &["check"],
    &["user"],
    &["user", "add"],
    &["user", "set"],
    &["user", "list"],
    &["user", "remove"],
    &["user", "passwd"],
    &["user", "sessions"],
    &["user", "logout"],
    &["user", "disable"],
    &["user", "enable"],
    &["token"],
    &["token", "mint"],
    &["token", "inspect"],
    &["token", "revoke"],
    &["import"],
    &["import", "simplejwt"],
    &["key"],
    &["key", "generate"],
];

macro_rules! trials {
    ($($name:ident),* $(,)?) => {
        vec![$(trial(stringify!($name), None, || block_on($name()))),*]
    };
}

fn main() -> ExitCode {
    let mut trials: Vec<Trial> = trials![
        every_command_shows_an_example_and_the_program_its_version,
        what_is_no_command_is_told_so,
        check_tells_a_valid_file_from_one_with_mistakes,
        the_gateway_refuses_a_file_with_mistakes_as_check_does,
        a_port_that_is_taken_names_the_key_that_changes_it,
        users_are_added_and_log_in,
        names_and_passwords_that_no_login_could_send_are_refused,
        a_new_password_counts_at_once,
        a_minted_token_passes_the_route_and_the_inspection,
        mint_refuses_what_would_mean_nothing,
        mint_says_when_a_token_lacks_the_claims_of_the_hook,
        inspect_says_why_a_token_is_refused,
        a_generated_key_signs_after_a_restart_and_the_old_one_still_verifies,
        commands_about_the_issuer_need_one,
    ];
    let no_terminal = server_missing("script").or_else(|| server_missing("setsid"));
    trials.push(trial("a_password_is_typed_twice_at_a_terminal", no_terminal.as_deref(), || {
        terminal::a_password_is_typed_twice_at_a_terminal();
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

async fn every_command_shows_an_example_and_the_program_its_version() {
    let home = config().write();
    for command in COMMANDS {
        let arguments = [command, &["--help"]].concat();
        let help = text(&succeeds(&home, &arguments, "").stdout);
        assert!(help.contains("Example"), "{command:?}: {help}");
        assert!(help.contains(&["tollgate", command.first().unwrap_or(&"--config")].join(" ")), "{help}");
        assert!(help.contains("--config <FILE>"), "{command:?}: {help}");
    }
    // What is listed above is all that there is.
    for group in [&[][..], &["user"], &["token"], &["import"], &["key"]] {
        let help = text(&succeeds(&home, &[group, &["--help"]].concat(), "").stdout);
        let listed = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
        let listed: Vec<&str> =
            listed.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
        let known = COMMANDS.iter().filter(|command| command.len() == group.len() + 1);
        let known = known.filter(|command| command.starts_with(group)).map(|command| command[group.len()]);
        assert_eq!(listed.into_iter().filter(|name| !matches!(*name, "" | "help")).collect::<Vec<_>>(), {
            known.collect::<Vec<_>>()
        });
    }
    let version = text(&succeeds(&home, &["--version"], "").stdout);
    assert_eq!(version, format!("tollgate {}\n", env!("CARGO_PKG_VERSION")));
}

async fn what_is_no_command_is_told_so() {
    let home = config().write();
    for arguments in [
        &["frobnicate"][..],
        &["user", "delete", "ada"],
        &["user", "add"],
        &["user", "add", "ada", PASSWORD],
        &["user", "add", "ada", "--password", PASSWORD],
        &["run", "--port", "1"],
        &["key", "generate", "--algorithm", "ROT13"],
        &["token", "inspect", "a", "b"],
    ] {
        let output = home.run(arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).starts_with("error: "), "{arguments:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

async fn check_tells_a_valid_file_from_one_with_mistakes() {
    let idp = Idp::new(Algorithm::RS256);
    let app = Upstream::echo().await;
    let file = config().provider("idp", &idp).route("/*", "idp", &app);
    let home = file.clone().set("providers.idp.audiences", json!("any")).write();
    for arguments in [&["check"][..], &["check", "gateway.yaml"], &["-c", "gateway.yaml", "check"]] {
        let shown = text(&succeeds(&home, arguments, "").stdout);
        assert!(
            shown.contains("gateway.yaml is valid: 1 listener, 1 provider, 1 upstream, 1 route"),
            "{shown}"
        );
        let warning = shown.lines().find(|line| line.starts_with("warning: gateway.yaml:"));
        assert!(warning.is_some_and(|line| line.contains("providers.idp.audiences")), "{shown}");
    }

    let home = Config::text(MISTAKES).write();
    for arguments in [&["check"][..], &["check", "--config", "gateway.yaml"]] {
        assert_mistakes(&home.run(arguments, ""));
    }
    let missing = home.run(&["check", "elsewhere.yaml"], "");
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("elsewhere.yaml"), "{}", text(&missing.stderr));

    // The file may be well formed and what it names no good.
    let home = file.write();
    home.write("keys/idp.jwks.json", "{}");
    let output = home.run(&["check"], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("gateway.yaml"), "{}", text(&output.stderr));
}

const MISTAKES: &str = "\
server:
  listeners:
    - address: 127.0.0.1:99999
  wrokers: 2
routes:
  - match: { path: /* }
    upstream: nowhere
";

/// All three, each with its place.
fn assert_mistakes(output: &Output) {
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    for (place, words) in [
        ("gateway.yaml:3:16:", "127.0.0.1:99999"),
        ("gateway.yaml:4:3:", "wrokers"),
        ("gateway.yaml:6:5:", "auth"),
        ("gateway.yaml:7:15:", "nowhere"),
    ] {
        let found = errors.lines().any(|line| line.starts_with(place) && line.contains(words));
        assert!(found, "no {words} at {place} in\n{errors}");
    }
    assert!(errors.contains("did you mean \"workers\"?"), "{errors}");
}

async fn the_gateway_refuses_a_file_with_mistakes_as_check_does() {
    let home = Config::text(MISTAKES).write();
    for arguments in [&["run"][..], &[], &["--config", "gateway.yaml"]] {
        assert_mistakes(&home.run(arguments, ""));
    }
}

async fn a_port_that_is_taken_names_the_key_that_changes_it() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    for (key, shown) in
        [("server.listeners.0.address", "server.listeners[0].address"), ("admin.address", "admin.address")]
    {
        let file = config().set(key, json!(taken));
        let Err(finished) = Tollgate::try_start(file).await else { panic!("{taken} is taken") };
        assert_eq!(finished.status.code(), Some(1));
        let lines = finished.lines.join("\n");
        for word in [&taken, "taken by another program", shown, "gateway.yaml"] {
            assert!(lines.contains(word), "{word} is not in: {lines}");
        }
    }
}

async fn users_are_added_and_log_in() {
    let app = Upstream::echo().await;
    let sources = json!({ "mail": { "from": "email" }, "roles": { "from": "roles" } });
    let home = config().issuer().set("issuer.claims", sources).route("/*", "local", &app).write();
    home.generate_key();
    let input = format!("{PASSWORD}\n");
    let add = |name: &str, more: &[&str], input: &str| {
        home.run(&[&["user", "add", name, "--password-stdin"], more].concat(), input)
    };
    let added = add("ada", &["--email", "ada@example.test", "--role", "admin", "--role", "staff"], &input);
    assert_eq!(text(&added.stdout), "added the user ada with id 1\n", "{}", text(&added.stderr));

    let again = add("ada", &[], "another password\n");
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("\"ada\" already"), "{}", text(&again.stderr));
    // Names are compared with case. Of several lines the first is the password, with or without its line end.
    for (name, input) in [("Ada", "first\r\nsecond\n"), ("Zoë Lovelace", "first")] {
        let added = add(name, &[], input);
        assert!(added.status.success(), "{}", text(&added.stderr));
    }

    let gate = Tollgate::start(home).await;
    for (name, password, status) in [
        ("ada", PASSWORD, 200),
        ("ada", "another password", 401),
        ("Ada", "first", 200),
        ("Zoë Lovelace", "first", 200),
        ("ADA", PASSWORD, 401),
    ] {
        assert_eq!(login(&gate, name, password).await.status, status, "{name} {password}");
    }
    let token = access(&login(&gate, "ada", PASSWORD).await.json());
    let shown = text(&gate.home.run(&["token", "inspect"], &token).stdout);
    assert!(shown.contains("\"mail\": \"ada@example.test\"") && shown.contains("\"admin staff\""), "{shown}");
    for line in gate.lines() {
        assert!(!line.contains(PASSWORD), "{line}");
    }
}

async fn names_and_passwords_that_no_login_could_send_are_refused() {
    let home = config().issuer().write();
    let long_name = "a".repeat(151);
    let long_password = "p".repeat(1025);
    for (name, more, input, complaint) in [
        ("", &[][..], PASSWORD.as_bytes(), "the name is blank"),
        (" ada", &[], PASSWORD.as_bytes(), "begins or ends with white space"),
        ("a\nda", &[], PASSWORD.as_bytes(), "control character"),
        (&long_name, &[], PASSWORD.as_bytes(), "longer than 150"),
        ("ada", &["--role", "two words"], PASSWORD.as_bytes(), "one word"),
        ("ada", &[], b"", "the password is blank"),
        ("ada", &[], b"\nsecond line\n", "the password is blank"),
        ("ada", &[], b" secret\n", "begins or ends with white space"),
        ("ada", &[], b"se\0cret\n", "NUL"),
        ("ada", &[], b"\xff\xfe\n", "UTF-8"),
        ("ada", &[], long_password.as_bytes(), "longer than 1024"),
    ] {
        let arguments = [&["user", "add", "--password-stdin"], more, &["--", name]].concat();
        let output = run_with(&home, &arguments, input);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name:?}: {errors}");
        assert!(errors.contains(complaint), "{name:?}: {errors}");
        assert!(!errors.contains(PASSWORD) && output.stdout.is_empty(), "{errors}");
    }
    let output = home.run(&["token", "mint", "--user", "ada"], "");
    assert_eq!(output.status.code(), Some(1), "nobody was added");
}

async fn a_new_password_counts_at_once() {
    let app = Upstream::echo().await;
    let home = config().issuer().route("/*", "local", &app).write();
    home.generate_key();
    let unknown = home.run(&["user", "passwd", "ada", "--password-stdin"], "new\n");
    assert_eq!(unknown.status.code(), Some(1), "there is no database yet");
    assert!(!home.path("data/tollgate.db").exists(), "nor does asking make one");
    home.add_user("ada", PASSWORD);
    let gate = Tollgate::start(home).await;
    assert_eq!(login(&gate, "ada", PASSWORD).await.status, 200);

    let passwd =
        |name: &str, input: &str| gate.home.run(&["user", "passwd", name, "--password-stdin"], input);
    let output = passwd("ada", "another password\n");
    assert_eq!(text(&output.stdout), "set the password of ada\n", "{}", text(&output.stderr));
    assert_eq!(login(&gate, "ada", PASSWORD).await.status, 401);
    assert_eq!(login(&gate, "ada", "another password").await.status, 200);

    let unknown = passwd("Ada", "another password\n");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("no user \"Ada\""), "{}", text(&unknown.stderr));
    assert_eq!(passwd("ada", "\n").status.code(), Some(2));
    assert_eq!(login(&gate, "ada", "another password").await.status, 200, "what was refused changed nothing");
}

async fn commands_about_the_issuer_need_one() {
    let home = config().write();
    for arguments in [
        &["user", "add", "ada", "--password-stdin"][..],
        &["user", "passwd", "ada", "--password-stdin"],
        &["token", "mint", "--user", "ada"],
        &["key", "generate"],
    ] {
        let output = home.run(arguments, "password\n");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains("no `issuer:` section"), "{}", text(&output.stderr));
    }
    assert!(!home.path("data").exists(), "nothing was made");
}

fn succeeds(home: &Home, arguments: &[&str], input: &str) -> Output {
    let output = home.run(arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    output
}

fn run_with(home: &Home, arguments: &[&str], input: &[u8]) -> Output {
    feed(&mut home.command(arguments), input)
}

fn feed(command: &mut Command, input: &[u8]) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that ends without reading it has its reasons, which its output tells.
    child.stdin.take().unwrap().write_all(input).ok();
    child.wait_with_output().unwrap()
}

async fn login(gate: &Tollgate, username: &str, password: &str) -> support::Answer {
    let credentials = json!({ "username": username, "password": password });
    gate.client(Protocol::Http1).post("/api/token/").json(credentials).await
}

fn access(tokens: &Value) -> String {
    tokens["access"].as_str().unwrap_or_else(|| panic!("no access token in {tokens}")).to_owned()
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode()
        & 0o777
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
