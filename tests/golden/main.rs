//! Replays the recorded answers of djangorestframework-simplejwt, under all profiles that they were recorded under, and
//! cases beyond them under two more profiles, one trial a case: against the running program over TLS, the protected view
//! being an application behind it, and against the real SimpleJWT, so that the comparison is honest. Against the program
//! they are played three times, with its sessions and users in SQLite, PostgreSQL and MariaDB.
//!
//! `case` reads the recording, `replay` plays a case over a `wire::Wire` and compares. Where it leaves the recording stands
//! in `elsewhere`.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod case;
mod elsewhere;
mod gateway;
mod place;
mod profile;
mod replay;
mod site;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
mod wire;

use std::collections::{BTreeMap, HashSet};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use case::{Case, Golden};
use profile::Profile;
use replay::Replay;
use support::{DatabaseKind, Protocol, server_missing, trial};
use wire::{Ends, Whose};

/// Played over HTTP/2 too: one of each kind of answer, and the bodies that differ in form.
const OVER_HTTP2: [&str; 12] = [
    "obtain.ok",
    "obtain.wrong_password",
    "obtain.missing_both",
    "body.form",
    "body.multipart",
    "body.malformed_json",
    "method.head_token",
    "method.options_refresh",
    "path.no_slash_post",
    "refresh.old_refused",
    "verify.access",
    "blacklist.twice",
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let golden = Arc::new(Golden::read());
    let ends = Arc::new(Ends::default());
    let names: HashSet<_> = golden.cases.iter().map(|case| case.name.clone()).collect();
    // Whoever runs each trial in a process of its own would start a server for each case.
    let is_alone = std::env::var_os("NEXTEST").is_some();
    let mut trials = Vec::new();
    for whose in [
        Whose::Ours(None),
        Whose::Ours(Some(DatabaseKind::Postgres)),
        Whose::Ours(Some(DatabaseKind::MariaDb)),
        Whose::Theirs,
    ] {
        let played = all(&golden, &ends, whose);
        let missing = match whose {
            Whose::Ours(kind) => kind.and_then(|kind| server_missing(kind.program())),
            Whose::Theirs => server_missing(site::program()),
        };
        let missing = missing.as_deref();
        trials.extend(if is_alone { in_groups(played, missing) } else { one_by_one(played, missing) });
    }
    trials.push(Trial::test("cases_that_are_listed_by_name_exist", move || {
        match OVER_HTTP2.iter().find(|name| !names.contains(**name)) {
            None => Ok(()),
            Some(unknown) => Err(format!("{unknown} is listed and no case").into()),
        }
    }));
    // So that the last case ends what it shares with the others.
    drop(ends);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Each case under each of its profiles, and some over HTTP/2 too.
fn all(golden: &Arc<Golden>, ends: &Arc<Ends>, whose: Whose) -> Vec<Played> {
    let mut all = Vec::new();
    for profile in Profile::ALL {
        for case in golden.cases.iter().filter(|case| case.profiles.contains(profile.letter())) {
            // A token's time is up wherever its session is kept, and waiting for it takes long.
            if matches!(whose, Whose::Ours(Some(_))) && case.lifetimes.is_some() {
                continue;
            }
            let is_twice = whose == Whose::Ours(None)
                && profile == Profile::A
                && OVER_HTTP2.contains(&case.name.as_str());
            let protocols =
                if is_twice { &[Protocol::Http1, Protocol::Http2][..] } else { &[Protocol::Http1] };
            all.extend(protocols.iter().map(|&protocol| Played {
                golden: Arc::clone(golden),
                ends: Arc::clone(ends),
                case: case.clone(),
                by: (whose, profile),
                protocol,
            }));
        }
    }
    all
}

/// One case under one profile over one protocol.
struct Played {
    golden: Arc<Golden>,
    ends: Arc<Ends>,
    case: Case,
    by: (Whose, Profile),
    protocol: Protocol,
}

impl Played {
    fn name(&self) -> String {
        let protocol = match self.protocol {
            Protocol::Http1 => "",
            Protocol::Http2 => " over HTTP/2",
        };
        format!("{} {}{protocol}", self.prefix(), self.case.name)
    }

    fn prefix(&self) -> String {
        let (whose, profile) = self.by;
        match whose {
            Whose::Ours(None) => profile.letter().to_owned(),
            Whose::Ours(Some(kind)) => format!("{} on {kind:?}", profile.letter()),
            Whose::Theirs => format!("SimpleJWT {}", profile.letter()),
        }
    }

    /// The cases of one name's first word go together, but for those that mostly wait; and all that are for what takes
    /// long to start: a profile's of the real SimpleJWT, and a server's.
    fn group(&self) -> String {
        let word = self.case.name.split('.').next().unwrap_or_default();
        match self.by.0 {
            Whose::Ours(Some(kind)) => format!("all on {kind:?}"),
            _ if self.case.lifetimes.is_some() => self.name(),
            Whose::Ours(None) => format!("{} {word}", self.prefix()),
            Whose::Theirs => self.prefix(),
        }
    }

    /// Why it failed, if it did.
    fn error(self) -> Option<String> {
        let name = self.name();
        self.play().err().map(|error| format!("{name}: {error}"))
    }

    fn play(self) -> Result<(), String> {
        let wire = self.ends.wire(&self.golden, &self.case, self.by, self.protocol);
        Replay::new(wire, self.by.1, self.golden.test_keys.clone()).run(self.case)
    }
}

fn one_by_one(played: Vec<Played>, missing: Option<&str>) -> Vec<Trial> {
    let trial = |played: Played| {
        trial(&played.name(), missing, || {
            if let Err(error) = played.play() {
                panic!("{error}");
            }
        })
    };
    played.into_iter().map(trial).collect()
}

/// One trial for each group. It names each case that fails.
fn in_groups(played: Vec<Played>, missing: Option<&str>) -> Vec<Trial> {
    let mut groups: BTreeMap<String, Vec<Played>> = BTreeMap::new();
    for played in played {
        groups.entry(played.group()).or_default().push(played);
    }
    let trial = |(group, played): (String, Vec<Played>)| {
        trial(&group, missing, || {
            let failed: Vec<String> = played.into_iter().filter_map(Played::error).collect();
            assert!(failed.is_empty(), "{}", failed.join("\n"));
        })
    };
    groups.into_iter().map(trial).collect()
}
