//! The commands of the program, as an operator types them.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};
use support::{
    Config, Home, Idp, Protocol, Reply, Tollgate, Upstream, block_on, claims, config, server_missing, trial,
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
        a_password_is_typed_twice_at_a_terminal();
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

async fn a_minted_token_passes_the_route_and_the_inspection() {
    let app = Upstream::echo().await;
    let home = config().issuer().route("/*", "local", &app).write();
    home.generate_key();
    home.add_user("ada", PASSWORD);
    let gate = Tollgate::start(home).await;
    let mint = |arguments: &[&str]| {
        let output = succeeds(&gate.home, &[&["token", "mint"], arguments].concat(), "");
        text(&output.stdout).trim().to_owned()
    };
    let of_user = mint(&["--user", "ada", "--claim", "scope=orders:read", "--claim", "level=3"]);
    let of_anybody = mint(&["--subject", "job-7", "--lifetime", "2h"]);
    let minted = [(&of_user, "1", Some("ada"), 300), (&of_anybody, "job-7", None, 7200)];
    for (index, (token, id, name, lifetime)) in minted.into_iter().enumerate() {
        let answer = gate.get("/").bearer(token).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let seen = app.request(index + 1).await;
        assert_eq!((seen.header("x-user-id"), seen.header("x-user-name")), (Some(id), name));

        let shown = text(&succeeds(&gate.home, &["token", "inspect", token], "").stdout);
        let but_for_the_time = |shown: &str| {
            let (before, after) = shown.split_once("\nexpires in ").unwrap();
            format!("{before}{}", after.split_once('\n').unwrap().1)
        };
        for arguments in [&["token", "inspect"][..], &["token", "inspect", "-"]] {
            let from_stdin = text(&succeeds(&gate.home, arguments, &format!("{token}\n")).stdout);
            assert_eq!(but_for_the_time(&from_stdin), but_for_the_time(&shown));
        }
        assert!(shown.contains("provider local: accepted"), "{shown}");
        let said: Value = serde_json::Deserializer::from_str(&shown).into_iter().next().unwrap().unwrap();
        assert_eq!(said["header"]["alg"], "ES256");
        assert_eq!((&said["claims"]["sub"], &said["claims"]["user_id"]), (&json!(id), &json!(id)));
        assert_eq!(said["claims"]["token_type"], "access");
        let second = |claim: &str| said["claims"][claim].as_u64().unwrap();
        assert_eq!(second("exp") - second("iat"), lifetime);
        assert!(said["claims"].get("sid").is_none(), "it belongs to no session");
    }
    let shown = text(&gate.home.run(&["token", "inspect"], &of_user).stdout);
    assert!(shown.contains("\"scope\": \"orders:read\"") && shown.contains("\"level\": 3"), "{shown}");
}

async fn mint_refuses_what_would_mean_nothing() {
    let home = config().issuer().write();
    home.generate_key();
    home.add_user("ada", PASSWORD);
    for (arguments, status, complaint) in [
        (&["mint"][..], 2, "--user <USER>|--subject <SUBJECT>"),
        (&["mint", "--user", "ada", "--subject", "job-7"], 2, "cannot be used with"),
        (&["mint", "--subject", ""], 2, "--subject"),
        (&["mint", "--user", "ada", "--claim", "scope"], 2, "NAME=VALUE"),
        (&["mint", "--user", "ada", "--claim", "exp=9999999999"], 2, "--lifetime sets it"),
        (&["mint", "--user", "ada", "--claim", "token_type=refresh"], 2, "access tokens"),
        (&["mint", "--user", "ada", "--lifetime", "0s"], 2, "a second"),
        (&["mint", "--user", "ada", "--lifetime", "5"], 2, "5m"),
        (&["mint", "--user", "nobody"], 1, "no user \"nobody\""),
    ] {
        let output = home.run(&[&["token"], arguments].concat(), "");
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {errors}");
        assert!(errors.contains(complaint) && output.stdout.is_empty(), "{arguments:?}: {errors}");
    }
}

async fn mint_says_when_a_token_lacks_the_claims_of_the_hook() {
    let broken = Arc::new(AtomicBool::new(false));
    let service = Upstream::start({
        let broken = Arc::clone(&broken);
        move |_| match broken.load(Ordering::SeqCst) {
            true => Reply::new(500, "out of order"),
            false => Reply::json(json!({ "tenant": "north" })),
        }
    })
    .await;
    let fetch = json!({ "allow_http": true, "allow_private_addresses": true, "proxy": "none" });
    let hook = json!({ "url": service.url(), "on_error": "keep", "fetch": fetch });
    let home = config().issuer().set("issuer.hook", hook).write();
    let home = Arc::new(home);
    home.generate_key();
    home.add_user("ada", PASSWORD);
    for (is_broken, tenant) in [(false, json!("north")), (true, Value::Null)] {
        broken.store(is_broken, Ordering::SeqCst);
        // The service runs on this thread.
        let minting = Arc::clone(&home);
        let mint = move || succeeds(&minting, &["token", "mint", "--user", "ada"], "");
        let output = tokio::runtime::Handle::current().spawn_blocking(mint).await.unwrap();
        let shown = text(&home.run(&["token", "inspect"], &text(&output.stdout)).stdout);
        let said: Value = serde_json::Deserializer::from_str(&shown).into_iter().next().unwrap().unwrap();
        assert_eq!((&said["claims"]["tenant"], &said["claims"]["sub"]), (&tenant, &json!("1")), "{shown}");
        let errors = text(&output.stderr);
        let is_warned = errors.starts_with("warning: the token is without the hook's claims: issuer.hook: ");
        assert_eq!(is_warned, is_broken, "{errors}");
        assert!(is_broken || errors.is_empty(), "{errors}");
    }
}

async fn inspect_says_why_a_token_is_refused() {
    let idp = Idp::new(Algorithm::ES256);
    let stranger = Idp::new(Algorithm::ES256);
    let home = config().issuer().provider("company", &idp).write();
    home.generate_key();
    let late = json!({ "sub": "ada", "exp": 1_000_000_000 });
    for (token, refusals) in [
        (idp.sign(late), &["expired", "provider company: refused, expired", "provider local: refused"][..]),
        (stranger.sign(claims("ada")), &["provider company: refused", "provider local: refused"]),
    ] {
        let output = home.run(&["token", "inspect"], &token);
        let (shown, errors) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{shown}");
        assert!(errors.contains("no provider of the file takes this token"), "{errors}");
        for refusal in refusals {
            assert!(shown.contains(refusal), "{refusal} is not in: {shown}");
        }
        let signature = token.rsplit('.').next().unwrap();
        assert!(!shown.contains(signature) && !errors.contains(signature), "{shown}{errors}");
    }
    let output = home.run(&["token", "inspect"], &idp.sign(claims("ada")));
    assert!(output.status.success() && text(&output.stdout).contains("provider company: accepted"));

    let huge = "a".repeat(1024 * 1024);
    for garbage in ["", "\n", "garbage", "a.b", "e30.e30.", "\u{0}", &huge] {
        let output = home.run(&["token", "inspect"], garbage);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).starts_with("tollgate: no token ("), "{}", text(&output.stderr));
    }
    let output = run_with(&home, &["token", "inspect"], b"\xff\xfe");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}

async fn a_generated_key_signs_after_a_restart_and_the_old_one_still_verifies() {
    let app = Upstream::echo().await;
    let home = config().issuer().route("/*", "local", &app).write();
    let generate = |home: &Home, more: &[&str]| {
        let output = succeeds(home, &[&["key", "generate"], more].concat(), "");
        let shown = text(&output.stdout);
        let path = shown.trim_end();
        assert_eq!(mode_of(&home.path(path)), 0o600, "{path}");
        // `<time>-<kid>.pem`
        path.rsplit('/').next().unwrap().split_once('-').unwrap().1.trim_end_matches(".pem").to_owned()
    };
    let old = generate(&home, &[]);
    assert_eq!(mode_of(&home.path("data/keys")), 0o700);
    home.add_user("ada", PASSWORD);
    let mut gate = Tollgate::start(home).await;
    let before = login(&gate, "ada", PASSWORD).await.json();
    assert_eq!(kid(&access(&before)), old);

    // Of another algorithm than the file's: it verifies, and would sign if the file asked for it.
    let other = generate(&gate.home, &["--algorithm", "EdDSA"]);
    let new = generate(&gate.home, &[]);
    assert_eq!(kid(&access(&login(&gate, "ada", PASSWORD).await.json())), old, "until it is started again");

    gate.restart("TERM").await;
    let after = login(&gate, "ada", PASSWORD).await.json();
    assert_eq!(kid(&access(&after)), new);
    for tokens in [&before, &after] {
        assert_eq!(gate.get("/").bearer(&access(tokens)).await.status, 200);
        let refreshed =
            gate.post("/api/token/refresh/").json(json!({ "refresh": tokens["refresh"] })).await.json();
        assert_eq!(kid(&access(&refreshed)), new);
    }
    let published = gate.get("/.well-known/jwks.json").await.json();
    let kids: Vec<&str> =
        published["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap()).collect();
    assert!([&old, &other, &new].iter().all(|kid| kids.contains(&kid.as_str())), "{kids:?}");
    assert_eq!(kids.len(), 3);

    let refused = gate.home.run(&["key", "generate", "--algorithm", "HS256"], "");
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("issuer.signing_key"), "{}", text(&refused.stderr));
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

fn a_password_is_typed_twice_at_a_terminal() {
    let home = config().issuer().write();
    let (status, shown) = type_at_terminal(&home, &["user", "add", "ada"], [PASSWORD, PASSWORD]);
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.contains("added the user ada"), "{shown}");
    let (status, shown) = type_at_terminal(&home, &["user", "passwd", "ada"], [PASSWORD, "another one"]);
    assert_eq!(status, Some(1), "{shown}");
    assert!(shown.contains("the two passwords differ"), "{shown}");

    // Without a terminal it says how else, and does not take the input for a password by itself.
    let mut command = Command::new("setsid");
    let program = env!("CARGO_BIN_EXE_tollgate");
    command.args(["--wait", program, "user", "add", "bob"]).current_dir(home.path(""));
    let output = feed(&mut command, PASSWORD.as_bytes());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--password-stdin"), "{}", text(&output.stderr));
}

/// Types these lines, each when it is asked for. Returns the exit code and all that the terminal showed, in which what
/// was typed must not be.
fn type_at_terminal(home: &Home, arguments: &[&str], typed: [&str; 2]) -> (Option<i32>, String) {
    let program = [&[env!("CARGO_BIN_EXE_tollgate")], arguments].concat().join(" ");
    let line = format!("tty > terminal; exec {program}");
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .current_dir(home.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keyboard = terminal.stdin.take().unwrap();
    let mut screen = terminal.stdout.take().unwrap();
    let mut shown = Vec::new();
    for (prompt, typed) in ["Password: ", "Once more: "].iter().zip(typed) {
        let mut byte = [0];
        while !shown.ends_with(prompt.as_bytes()) {
            assert_eq!(screen.read(&mut byte).unwrap(), 1, "no {prompt:?} after: {}", text(&shown));
            shown.push(byte[0]);
        }
        let terminal = fs::read_to_string(home.path("terminal")).unwrap();
        while shows_what_is_typed(terminal.trim()) {}
        writeln!(keyboard, "{typed}").unwrap();
    }
    screen.read_to_end(&mut shown).unwrap();
    let shown = text(&shown);
    assert!(typed.iter().all(|typed| !shown.contains(typed)), "{shown}");
    (terminal.wait().unwrap().code(), shown)
}

/// Whoever types before the program has said no to that sees it. That can only be asked for again and again.
fn shows_what_is_typed(terminal: &str) -> bool {
    let settings = Command::new("stty").args(["-a", "-F", terminal]).output().unwrap();
    assert!(settings.status.success(), "{terminal}: {}", text(&settings.stderr));
    !text(&settings.stdout).split_whitespace().any(|setting| setting == "-echo")
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
