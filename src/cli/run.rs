//! `tollgate run`.

use std::path::Path;

use super::Failure;
use crate::config::{self, Config};
use crate::server;
use crate::telemetry::{LogLevel, start_logging};

/// Runs the gateway until it is told to stop.
pub(super) fn run(file: &Path) -> Result<(), Failure> {
    let config = read(file)?;
    let level = match std::env::var("TOLLGATE_LOG") {
        Ok(level) => level.parse().map_err(|error| Failure::Other(format!("TOLLGATE_LOG: {error}")))?,
        Err(_) => LogLevel::default(),
    };
    start_logging(level).map_err(|error| Failure::Other(error.to_string()))?;
    server::run(&config).map_err(|error| Failure::Other(error.to_string()))
}

/// Reads the file with the process's own environment.
pub(super) fn read(file: &Path) -> Result<Config, Failure> {
    config::read(file, &|name| std::env::var(name).ok())
        .map_err(|mistakes| Failure::File(mistakes.to_string()))
}
