//! Whether a caller may take a route.

use super::authenticate::{Caller, Principal};
use super::snapshot::{Auth, Route};
use crate::config::AuthMode;
use crate::http::Refusal;

/// Proof that [`authorize`] let a caller through. It has no other maker and can't be copied: without one there is no
/// outbound request.
#[derive(Debug)]
pub(super) struct Permit {
    principal: Option<Principal>,
}

impl Permit {
    /// The caller, where the route asked for one and one is known.
    pub(super) fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }
}

/// Lets a caller through, or says why not.
///
/// # Errors
/// [`Refusal::NoToken`] for an anonymous caller on a route that needs a token.
pub(super) fn authorize(route: &Route, caller: Caller) -> Result<Permit, Refusal> {
    match (&route.auth, caller) {
        // A token that a public route did not ask for proves nothing there.
        (Auth::Public, _) => Ok(Permit { principal: None }),
        (Auth::Required { .. }, Caller::Known(principal)) => Ok(Permit { principal: Some(principal) }),
        (Auth::Required { mode: AuthMode::Optional, .. }, Caller::Anonymous) => {
            Ok(Permit { principal: None })
        }
        (Auth::Required { mode: AuthMode::Enforce, .. }, Caller::Anonymous) => Err(Refusal::NoToken),
    }
}
