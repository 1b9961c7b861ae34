//! How a case reaches the implementation.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;

/// An implementation of the token endpoints, fresh for each case: SimpleJWT's profile A and the users of the
/// recording. The library and the running program can both be one.
pub(crate) trait Transport {
    /// Whether requests to this path can be sent at all.
    fn reaches(&self, path: &str) -> bool;

    /// Sends a request and waits for its answer.
    fn send(&mut self, request: Request<Bytes>) -> Response<Bytes>;

    /// The implementation's time, as a duration since 1970.
    fn now(&self) -> Duration;

    /// Lets time pass.
    fn wait(&mut self, duration: Duration);

    /// An act on the table of users, and what it returns.
    fn admin(&mut self, act: &[Value]) -> Value;
}
