//! What can go wrong behind the gateway. None of it is a refusal: the request was let through.

use http::StatusCode;

use super::client_body::BodyFault;
use crate::base::ReasonCode;

/// Why no answer came of a request that was sent on.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The upstream's fault.
    #[error(transparent)]
    Upstream(#[from] UpstreamFailure),
    /// The client's own body.
    #[error("the request body broke off: {0}")]
    Body(BodyFault),
}

/// An upstream that did not do its part.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamFailure {
    /// No connection.
    #[error("no connection to the upstream: {0}")]
    Unreachable(#[source] std::io::Error),
    /// No connection in time.
    #[error("no connection to the upstream within its connect timeout")]
    ConnectTimeout,
    /// No head of an answer in time.
    #[error("the upstream did not answer within its response timeout")]
    ResponseTimeout,
    /// The answer broke off or is no HTTP.
    #[error("the upstream's answer is broken: {0}")]
    Broken(#[source] hyper::Error),
    /// The upstream stopped in the midst of a body.
    #[error("the upstream stalled in the midst of its answer")]
    Stalled,
}

impl UpstreamFailure {
    /// The status that the client gets (RFC 9110, sections 15.6.3 and 15.6.5).
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unreachable(_) | Self::Broken(_) => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout | Self::ResponseTimeout | Self::Stalled => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The `code` of the answer's body.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) | Self::Broken(_) => "bad_gateway",
            Self::ConnectTimeout | Self::ResponseTimeout | Self::Stalled => "gateway_timeout",
        }
    }

    /// The `detail` of the answer's body; addresses and causes stay inside.
    #[must_use]
    pub fn detail(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "The upstream can't be reached.",
            Self::Broken(_) => "The upstream's answer is broken.",
            Self::ConnectTimeout | Self::ResponseTimeout | Self::Stalled => {
                "The upstream did not answer in time."
            }
        }
    }

    /// The word for log and metric.
    #[must_use]
    pub fn reason(&self) -> ReasonCode {
        match self {
            Self::Unreachable(_) => ReasonCode::UpstreamUnreachable,
            Self::ConnectTimeout | Self::ResponseTimeout | Self::Stalled => ReasonCode::UpstreamTimeout,
            Self::Broken(_) => ReasonCode::UpstreamBroken,
        }
    }
}
