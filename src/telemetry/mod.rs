//! What an operator can see: metric families, the access log, and the log of events.
//!
//! Row 1: it knows nothing of routes or tokens, only their names. Workers count in local counters and hand them
//! over once a second, so that counting costs a request no shared memory.

mod access_log;
mod families;
mod log;
mod recorder;

pub use access_log::{AccessLog, AccessLogMaker, AccessLogThread, AccessRecord};
pub use families::Metrics;
pub use log::{LogLevel, start_logging};
pub use recorder::{AuthenticationRecorder, CacheRecorder, ReasonRecorder, RouteRecorder, UpstreamRecorder};
