//! Tokens that were good and are void before their time.
//!
//! Asked on every request, cached tokens included. What the last look-up said of a token stays true until the index's
//! epoch moves, so a request costs one atomic load; when it has moved, the look-up is repeated, and never the signature.

use super::token_cache::KnownToken;
use super::worker::Worker;
use crate::base::{ReasonCode, UnixTime};
use crate::http::Refusal;

/// Refuses where nobody can tell yet which tokens are void.
///
/// # Errors
/// [`Refusal::RevocationsUnavailable`].
pub(super) fn refuse_unloaded(worker: &Worker) -> Result<(), Refusal> {
    if worker.snapshot.revocations.is_loaded() { Ok(()) } else { Err(Refusal::RevocationsUnavailable) }
}

/// Refuses a token that was revoked, by whatever name.
///
/// # Errors
/// An invalid token, with the reason [`ReasonCode::Revoked`].
pub(super) fn refuse_revoked(worker: &Worker, known: &KnownToken, now: UnixTime) -> Result<(), Refusal> {
    let revocations = &worker.snapshot.revocations;
    // Before the look-up: what comes while it runs moves the epoch past this one.
    let epoch = revocations.epoch();
    if known.cleared_at.get() == epoch {
        return Ok(());
    }
    if revocations.is_revoked(&known.token.names, now) {
        return Err(Refusal::invalid_token(ReasonCode::Revoked));
    }
    known.cleared_at.set(epoch);
    Ok(())
}
