//! `tollgate run`.

use std::path::Path;

use super::{Failure, read};
use crate::server;
use crate::telemetry::{LogLevel, start_logging};

/// Runs the gateway until it is told to stop.
pub(super) fn run(file: &Path) -> Result<(), Failure> {
    let config = read(file)?;
    let level = match std::env::var("TOLLGATE_LOG") {
        Ok(level) => level.parse().map_err(|error| Failure::Usage(format!("TOLLGATE_LOG: {error}")))?,
        Err(_) => LogLevel::default(),
    };
    start_logging(level).map_err(|error| Failure::of(&error))?;
    server::run(&config).map_err(|error| Failure::of(&error))
}
