//! A fetch that brought no keys.

use http::StatusCode;

use super::discovery::DiscoveryError;
use crate::http::client::FetchError;
use crate::jwt::JwksError;

/// Why a fetch brought no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchFailure {
    /// There is no answer.
    #[error(transparent)]
    Answer(#[from] FetchError),
    /// The issuer does not say where its keys are.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The answer is something else.
    #[error(transparent)]
    NoKeySet(#[from] JwksError),
    /// The set is empty, or nothing in it can be used.
    #[error("the key set has no usable key ({skipped} skipped)")]
    NoUsableKey {
        /// How many there are that can't be used.
        skipped: usize,
    },
    /// A defect of the gateway.
    #[error("a defect of the gateway")]
    Defect,
}

impl FetchFailure {
    /// The label of `tollgate_key_fetches_total`.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Answer(error) => error.outcome(),
            Self::Discovery(error) => error.outcome(),
            Self::NoKeySet(_) => "no_key_set",
            Self::NoUsableKey { .. } => "no_usable_key",
            Self::Defect => "defect",
        }
    }

    /// Whether the provider says that it knows nobody of the name that was asked for.
    pub(super) fn names_nobody(&self) -> bool {
        const NOBODY: [StatusCode; 3] = [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, StatusCode::GONE];
        match self {
            Self::Answer(FetchError::Status(status))
            | Self::Discovery(DiscoveryError::Answer(FetchError::Status(status))) => NOBODY.contains(status),
            Self::Discovery(DiscoveryError::OtherIssuer { .. }) => true,
            _ => false,
        }
    }
}
