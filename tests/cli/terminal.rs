//! Passwords typed at a terminal.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::support::{Home, config};
use crate::{PASSWORD, feed, text};

pub(crate) fn a_password_is_typed_twice_at_a_terminal() {
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
