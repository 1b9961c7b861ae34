//! The applications behind the gateway, seen from one worker: connections, kept idle between requests, and the
//! bodies that stream through them.
//!
//! Everything here lives on one thread: no lock, no `Send`. What workers share is [`Endpoint`], which says where
//! an upstream is; each worker has its own [`Pool`] of connections to it.

mod answer_body;
mod client_body;
mod connection;
mod failure;
mod pool;
mod stall;

pub use answer_body::AnswerBody;
pub use client_body::{BodyFault, BodyProgress, ClientBody};
pub use failure::{SendError, UpstreamFailure};
pub use pool::{Endpoint, Pool};
