//! One request's way.
mod router;
pub use router::*;
