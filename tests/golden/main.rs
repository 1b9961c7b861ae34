//! Replays the recorded answers of djangorestframework-simplejwt, profile A, one trial a case, against the running
//! program over TLS, the protected view being a route of it.
//!
//! `case` reads the recording, `replay` plays a case over a `gateway::Wire` and compares. What is not replayed stands
//! in `elsewhere`.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod case;
mod elsewhere;
mod gateway;
mod replay;
#[path = "../support/mod.rs"]
mod support;
mod tokens;

use std::collections::{BTreeMap, HashSet};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use case::{Case, Golden};
use gateway::Gateways;
use replay::Replay;
use support::Protocol;

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
    let gateways = Arc::new(Gateways::default());
    let cases = || golden.cases.iter().filter(|case| case.profiles.contains('A'));
    let names: HashSet<_> = cases().map(|case| case.name.clone()).collect();
    let over_http2 = cases().filter(|case| OVER_HTTP2.contains(&case.name.as_str()));
    let played =
        cases().map(|case| (case, Protocol::Http1)).chain(over_http2.map(|case| (case, Protocol::Http2)));
    let played = played.filter(|(case, _)| elsewhere::reason(&case.name).is_none());
    let played = played.map(|(case, protocol)| Played {
        golden: Arc::clone(&golden),
        gateways: Arc::clone(&gateways),
        case: case.clone(),
        protocol,
    });
    let played: Vec<Played> = played.collect();
    // Whoever runs each trial in a process of its own would start a gateway for each case.
    let is_alone = std::env::var_os("NEXTEST").is_some();
    let mut trials = if is_alone { in_groups(played) } else { one_by_one(played) };
    trials.extend(cases().filter_map(|case| {
        let reason = elsewhere::reason(&case.name)?;
        Some(Trial::test(&case.name, || Ok(())).with_kind(reason).with_ignored_flag(true))
    }));
    trials.push(Trial::test("cases_that_are_listed_by_name_exist", move || {
        let ignored = elsewhere::REASONS.iter().flat_map(|(_, names)| *names);
        let different = elsewhere::ANOTHER_ANSWER.iter().flat_map(|(_, _, names)| *names);
        match ignored.chain(different).chain(&OVER_HTTP2).find(|name| !names.contains(**name)) {
            None => Ok(()),
            Some(unknown) => Err(format!("{unknown} is listed and no case of profile A").into()),
        }
    }));
    // So that the last case ends what it shares with the others.
    drop(gateways);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// One case over one protocol.
struct Played {
    golden: Arc<Golden>,
    gateways: Arc<Gateways>,
    case: Case,
    protocol: Protocol,
}

impl Played {
    fn name(&self) -> String {
        match self.protocol {
            Protocol::Http1 => self.case.name.clone(),
            Protocol::Http2 => format!("{} over HTTP/2", self.case.name),
        }
    }

    fn play(self) -> Result<(), String> {
        let wire = self.gateways.wire(&self.golden, &self.case, self.protocol);
        Replay::new(wire, self.golden.test_keys.clone()).run(self.case)
    }
}

fn one_by_one(played: Vec<Played>) -> Vec<Trial> {
    played
        .into_iter()
        .map(|played| Trial::test(played.name(), || played.play().map_err(Into::into)))
        .collect()
}

/// One trial for all cases whose names begin with the same word, but for those that mostly wait. It names each case
/// that fails.
fn in_groups(played: Vec<Played>) -> Vec<Trial> {
    let mut groups: BTreeMap<String, Vec<Played>> = BTreeMap::new();
    for played in played {
        let word = played.case.name.split('.').next().unwrap_or_default().to_owned();
        let group = if played.case.lifetimes.is_some() { played.name() } else { word };
        groups.entry(group).or_default().push(played);
    }
    let trial = |(group, played): (String, Vec<Played>)| {
        Trial::test(group, || {
            let failed = played.into_iter().filter_map(|played| {
                let name = played.name();
                played.play().err().map(|error| format!("{name}: {error}"))
            });
            let failed: Vec<String> = failed.collect();
            if failed.is_empty() { Ok(()) } else { Err(failed.join("\n").into()) }
        })
    };
    groups.into_iter().map(trial).collect()
}
