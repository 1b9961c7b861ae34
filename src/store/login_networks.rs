//! From which networks which names have logged in.

use super::Answer;
use crate::base::{Secret, UnixTime};

/// Names a user name and a network together. Whoever makes it keys it with [`LoginNetworks::network_key`], so that a
/// row tells nothing of either.
pub type NetworkDigest = [u8; 32];

/// Keeps that there was a login with a name from a network, for all replicas and across restarts. One entry for each name and
/// network that ever logged in, until its time is over.
pub trait LoginNetworks: Send + Sync + 'static {
    /// The key of all digests: the proposed one, unless there is one already. All replicas get the same.
    fn network_key(&self, proposed: Secret) -> Answer<'_, Secret>;

    /// Keeps a digest until this time, or until a later one that was said before.
    fn note_network<'a>(&'a self, digest: &'a NetworkDigest, until: UnixTime) -> Answer<'a, ()>;

    /// Whether the digest is kept, and its time not over.
    fn knows_network<'a>(&'a self, digest: &'a NetworkDigest, now: UnixTime) -> Answer<'a, bool>;
}

/// The name of the key in the database.
pub(super) const KEY_NAME: &str = "login_networks";
