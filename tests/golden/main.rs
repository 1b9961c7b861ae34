//! Replays the recorded answers of djangorestframework-simplejwt, profile A, one trial a case.
//!
//! `case` reads the recording, `replay` plays a case through a `transport::Transport` and compares. The transport
//! is the library, which has the four token endpoints only: steps at a protected route are passed over, and the
//! kind of the trial says so. What is not replayed at all stands in `elsewhere`.

mod case;
mod elsewhere;
mod library;
mod replay;
mod tokens;
mod transport;

use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use case::{Case, Golden, Step};
use library::Library;
use replay::Replay;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let golden = Arc::new(Golden::read());
    let cases = || golden.cases.iter().filter(|case| case.profiles.contains('A'));
    let names: HashSet<_> = cases().map(|case| case.name.clone()).collect();
    let mut trials: Vec<_> = cases().map(|case| trial(&golden, case)).collect();
    trials.push(Trial::test("cases_that_are_not_replayed_exist", move || {
        let listed = elsewhere::REASONS.iter().flat_map(|(_, names)| *names);
        match listed.into_iter().find(|name| !names.contains(**name)) {
            None => Ok(()),
            Some(unknown) => Err(format!("{unknown} is listed and no case of profile A").into()),
        }
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(golden: &Arc<Golden>, case: &Case) -> Trial {
    let (golden, case) = (Arc::clone(golden), case.clone());
    let name = case.name.clone();
    if let Some(reason) = elsewhere::reason(&name) {
        return Trial::test(name, || Ok(())).with_kind(reason).with_ignored_flag(true);
    }
    let is_whole = case.steps.iter().all(|step| match step {
        Step::Exchange { request, .. } => request.path.starts_with("/api/token"),
        _ => true,
    });
    let trial = Trial::test(name, move || {
        let mut library = Library::start(&golden, case.lifetimes);
        let sends = case.steps.iter().any(|step| match step {
            Step::Exchange { request, .. } => transport::Transport::reaches(&library, &request.path),
            _ => false,
        });
        if !sends {
            return Err("no step can be sent: list the case in elsewhere.rs".into());
        }
        Replay::new(&mut library, golden.test_keys.clone()).run(case).map_err(Into::into)
    });
    if is_whole { trial } else { trial.with_kind("token endpoints only") }
}
