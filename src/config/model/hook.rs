//! `hook:` of the issuer as meant.

use http::Uri;

use super::Fetch;

/// `hook:` of the issuer: who is asked for more claims, at each login and each refresh.
#[derive(Debug, Clone)]
pub struct ClaimHook {
    /// Where it is.
    pub url: Uri,
    /// How it is asked.
    pub fetch: Fetch,
    /// What becomes of a login or a refresh without its answer.
    pub on_error: OnHookError,
}

/// `on_error:` of the hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnHookError {
    /// `fail`, the default: 503.
    Fail,
    /// `keep`: a refresh goes on with the claims of the old token, a login without the hook's.
    Keep,
}
