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

use std::collections::HashSet;
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
    let mut trials: Vec<_> = cases().map(|case| trial(&golden, &gateways, case, Protocol::Http1)).collect();
    let over_http2 = cases().filter(|case| OVER_HTTP2.contains(&case.name.as_str()));
    trials.extend(over_http2.map(|case| trial(&golden, &gateways, case, Protocol::Http2)));
    trials.push(Trial::test("cases_that_are_listed_by_name_exist", move || {
        let ignored = elsewhere::REASONS.iter().flat_map(|(_, names)| *names);
        let different = elsewhere::ANOTHER_ANSWER.iter().flat_map(|(_, _, names)| *names);
        match ignored.chain(different).chain(&OVER_HTTP2).find(|name| !names.contains(**name)) {
            None => Ok(()),
            Some(unknown) => Err(format!("{unknown} is listed and no case of profile A").into()),
        }
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(golden: &Arc<Golden>, gateways: &Arc<Gateways>, case: &Case, protocol: Protocol) -> Trial {
    let (golden, gateways, case) = (Arc::clone(golden), Arc::clone(gateways), case.clone());
    let name = match protocol {
        Protocol::Http1 => case.name.clone(),
        Protocol::Http2 => format!("{} over HTTP/2", case.name),
    };
    if let Some(reason) = elsewhere::reason(&case.name) {
        return Trial::test(name, || Ok(())).with_kind(reason).with_ignored_flag(true);
    }
    Trial::test(name, move || {
        let wire = gateways.wire(&golden, &case, protocol);
        Replay::new(wire, golden.test_keys.clone()).run(case).map_err(Into::into)
    })
}
