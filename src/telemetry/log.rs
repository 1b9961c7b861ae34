//! Where events and access lines are written.

use std::str::FromStr;

use tracing::{Level, Metadata};
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
        match text.parse() {
            // Not compiled in: it would slow every request even while nobody listens.
            Ok(Level::TRACE) | Err(_) => Err(InvalidLogLevel),
            Ok(level) => Ok(Self(level)),
        }
    }
}

/// No level by this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected error, warn, info or debug")]
pub struct InvalidLogLevel;

/// Starts both logs: events as text on standard error, access lines as JSON on standard output. A panic is an event
/// like any other.
///
/// # Errors
/// If the process logs already.
pub fn start_logging(level: LogLevel) -> Result<(), TryInitError> {
    // The hints let the macros of every crate see at once that nobody listens. Spans are not used, and HTTP/2's own
    // would cost a third of its requests.
    let wanted = move |metadata: &Metadata<'_>| {
        metadata.is_event() && metadata.target() != ACCESS_TARGET && *metadata.level() <= level.0
    };
    let events = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_filter(FilterFn::new(wanted).with_max_level_hint(LevelFilter::from_level(level.0)));
    let access = fmt::layer()
        .json()
        .flatten_event(true)
        .with_level(false)
        .with_target(false)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(std::io::stdout)
        .with_filter(
            FilterFn::new(|metadata| metadata.is_event() && metadata.target() == ACCESS_TARGET)
                .with_max_level_hint(LevelFilter::INFO),
        );
    tracing_subscriber::registry().with(events).with(access).try_init()?;
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_usual_level_names() {
        for name in ["error", "warn", "info", "debug", "INFO"] {
            assert!(name.parse::<LogLevel>().is_ok(), "{name}");
        }
        for name in ["trace", "loud", ""] {
            assert!(name.parse::<LogLevel>().is_err(), "{name}");
        }
    }
}
