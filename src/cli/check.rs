//! `tollgate check`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Failure, read};
use crate::base::with_causes;
use crate::{config, server};

/// Read the file and name every mistake in it, without starting anything.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The file, instead of that of `--config`.
    file: Option<PathBuf>,
}

impl Check {
    #[expect(clippy::print_stdout, reason = "the command line's own output")]
    pub(super) fn run(self, default: &Path) -> Result<(), Failure> {
        let file = self.file.as_deref().unwrap_or(default);
        let config = read(file)?;
        for warning in config.warnings_at(server::clock::now()) {
            println!("warning: {}:{warning}", file.display());
        }
        for config::PresetMeaning { provider, preset, words } in &config.presets {
            print!("# what `preset: {preset}` of providers.{provider} stands for\n{words}");
        }
        let unchecked = server::check(&config).map_err(|error| {
            let message = with_causes(&error);
            Failure::Usage(match error.place() {
                Some(_) => message,
                None => format!("{}: {message}", file.display()),
            })
        })?;
        for remark in unchecked {
            println!("warning: {remark}");
        }
        let count =
            |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        println!(
            "{} is valid: {}, {}, {}, {}",
            file.display(),
            count(config.server.listeners.len(), "listener"),
            count(config.providers.len(), "provider"),
            count(config.upstreams.len(), "upstream"),
            count(config.routes.len(), "route"),
        );
        Ok(())
    }
}
