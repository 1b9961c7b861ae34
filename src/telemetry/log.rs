//! Where events and access lines are written.

use std::str::FromStr;

use tracing::Level;
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The target that marks an access line.
pub(super) const ACCESS_TARGET: &str = "tollgate::access";

/// How much the event log says; from the environment variable `TOLLGATE_LOG`.
#[derive(Debug, Clone, Copy)]
pub struct LogLevel(Level);

impl Default for LogLevel {
    fn default() -> Self {
        Self(Level::INFO)
    }
}

impl FromStr for LogLevel {
    type Err = InvalidLogLevel;

    fn from_str(text: &str) -> Result<Self, InvalidLogLevel> {
        text.parse().map(Self).map_err(|_| InvalidLogLevel)
    }
}

/// No level by this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected error, warn, info, debug or trace")]
pub struct InvalidLogLevel;

/// Starts both logs: events as text on standard error, access lines as JSON on standard output. A panic is an event
/// like any other.
///
/// # Errors
/// If the process logs already.
pub fn start_logging(level: LogLevel) -> Result<(), TryInitError> {
    let events = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_filter(LevelFilter::from_level(level.0))
        .with_filter(FilterFn::new(|metadata| metadata.target() != ACCESS_TARGET));
    let access = fmt::layer()
        .json()
        .flatten_event(true)
        .with_level(false)
        .with_target(false)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(std::io::stdout)
        .with_filter(FilterFn::new(|metadata| metadata.target() == ACCESS_TARGET));
    tracing_subscriber::registry().with(events).with(access).try_init()?;
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_usual_level_names() {
        for name in ["error", "warn", "info", "debug", "trace", "INFO"] {
            assert!(name.parse::<LogLevel>().is_ok(), "{name}");
        }
        assert!("loud".parse::<LogLevel>().is_err());
    }
}
