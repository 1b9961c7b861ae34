//! Tests that need a program which is not part of the project.
//!
//! Its absence is found when the tests are listed: some runners judge by the exit code alone and would show a
//! test that gives up later as passed.

use std::env;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};

/// Why the program can't be used; `None` where it can. `program` is a path, or a name to be found in `PATH`.
pub fn server_missing(program: impl AsRef<Path>) -> Option<String> {
    let program = program.as_ref();
    let there = if program.components().count() > 1 {
        program.is_file()
    } else {
        env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .any(|folder| folder.join(program).is_file())
    };
    (!there).then(|| format!("{} is missing; scripts/test installs it where it can", program.display()))
}

/// A test that needs a server. Where it is missing, the test is ignored and shows the reason, or, under
/// `TOLLGATE_REQUIRE_SERVERS=1`, fails with it.
pub fn trial(name: &str, missing: Option<&str>, run: impl FnOnce() + Send + 'static) -> Trial {
    let Some(reason) = missing.map(str::to_owned) else {
        return Trial::test(name, || {
            run();
            Ok(())
        });
    };
    let required = env::var_os("TOLLGATE_REQUIRE_SERVERS").is_some_and(|value| value == "1");
    // Whoever runs ignored tests by name gets the reason too, not a pass.
    Trial::test(name, {
        let reason = reason.clone();
        || Err(Failed::from(reason))
    })
    .with_kind(reason)
    .with_ignored_flag(!required)
}

/// Where `scripts/test` installed what the file of pinned versions names: the folder that `variable` holds, or
/// else the one below the cache that it would make for this content of the file.
pub fn environment(variable: &str, name: &str, pinned: &[u8]) -> PathBuf {
    if let Some(environment) = env::var_os(variable) {
        return environment.into();
    }
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("TOLLGATE_CACHE").unwrap_or_else(|| {
        let caches = variable("XDG_CACHE_HOME");
        caches.or_else(|| Some(variable("HOME")?.join(".cache"))).unwrap_or_default().join("tollgate")
    });
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, pinned);
    let digest: String = digest.as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    cache.join(format!("{name}-{digest}"))
}
