//! What makes a refresh repeatable: of each refresh token that is rotated exactly one successor can be made, again and
//! again, on every replica.
//!
//! Its `jti` and that of the access token beside it are HMACs of the `jti` that came, and its claims lie sealed in its
//! row. All of it hangs on one secret that the database keeps, apart from the signing keys: a key rotation between the
//! first answer and its repetition changes the signature and no claim. The secret makes no token: without a signing key
//! it is worth nothing. Nor does it hide the claims from whoever reads the whole database, where it stands; it hides
//! them from who sees rows, such as a log of statements.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hmac, rand};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::Issuer;
use super::refused::Refused;
use crate::base::Secret;

/// The name of the secret in the database.
const SECRET_NAME: &str = "refresh_successors";
const SECRET_LENGTH: usize = 32;

/// Derives successors. The same on every replica.
pub(super) struct Successors(hmac::Key);

/// What the secret is used for: no two uses share a text.
#[derive(Debug, Clone, Copy)]
enum Use {
    RefreshId,
    AccessId,
    Seal,
}

impl Successors {
    pub(super) fn new(secret: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))
    }

    fn derive(&self, what: Use, text: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&[what as u8]);
        context.update(text);
        let mut derived = Zeroizing::new([0; 32]);
        derived.copy_from_slice(context.sign().as_ref());
        derived
    }

    /// The `jti` of the successor of the refresh token with this one.
    pub(super) fn refresh_id(&self, old_jti: &str) -> String {
        self.id(Use::RefreshId, old_jti)
    }

    /// The `jti` of the access token that goes with that successor.
    pub(super) fn access_id(&self, old_jti: &str) -> String {
        self.id(Use::AccessId, old_jti)
    }

    /// In the form of all ids here, which is SimpleJWT's: a UUID of version 4.
    fn id(&self, what: Use, old_jti: &str) -> String {
        let derived = self.derive(what, old_jti.as_bytes());
        let bytes = derived.first_chunk().expect("32 bytes hold 16");
        uuid::Builder::from_random_bytes(*bytes).into_uuid().simple().to_string()
    }

    fn key(&self, old_jti: &str) -> Option<RandomizedNonceKey> {
        RandomizedNonceKey::new(&AES_256_GCM, &*self.derive(Use::Seal, old_jti.as_bytes())).ok()
    }

    /// Claims as they may lie in the database. `None` where sealing fails, which costs the grace and nothing else.
    pub(super) fn seal(&self, old_jti: &str, claims: &Map<String, Value>) -> Option<Vec<u8>> {
        let mut sealed = serde_json::to_vec(claims).ok()?;
        let nonce = self.key(old_jti)?.seal_in_place_append_tag(Aad::empty(), &mut sealed).ok()?;
        sealed.extend_from_slice(nonce.as_ref());
        Some(sealed)
    }

    /// What was sealed for the successor of this token; `None` if it was changed, or sealed with another secret.
    pub(super) fn open(&self, old_jti: &str, mut sealed: Vec<u8>) -> Option<Map<String, Value>> {
        let nonce_at = sealed.len().checked_sub(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(&sealed[nonce_at..]).ok()?;
        sealed.truncate(nonce_at);
        let claims = self.key(old_jti)?.open_in_place(nonce, Aad::empty(), &mut sealed).ok()?;
        serde_json::from_slice(claims).ok()
    }
}

impl Issuer {
    /// Asks the database for the secret at first use, since it may not answer at start.
    pub(super) async fn successors(&self) -> Result<&Successors, Refused> {
        self.successors
            .get_or_try_init(|| async {
                let mut proposed = Zeroizing::new([0; SECRET_LENGTH]);
                rand::fill(&mut *proposed).map_err(|error| Refused::Internal(error.into()))?;
                let secret = self.sessions.secret(SECRET_NAME, Secret::new(&proposed[..])).await?;
                Ok(Successors::new(&secret))
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn successors(secret: u8) -> Successors {
        Successors::new(&Secret::new([secret; 32]))
    }

    fn claims() -> Map<String, Value> {
        let Value::Object(claims) = json!({"exp": 5, "jti": "b", "zulu": 1, "email": "ada@example.com"})
        else {
            unreachable!()
        };
        claims
    }

    #[test]
    fn every_replica_derives_the_same_and_no_other_secret_does() {
        let of = |secret| {
            let successors = successors(secret);
            [successors.refresh_id("a"), successors.access_id("a"), successors.refresh_id("b")]
        };
        assert_eq!(of(1), of(1));
        let all: std::collections::HashSet<String> = [of(1), of(2)].into_iter().flatten().collect();
        assert_eq!(all.len(), 6, "{all:?}");
        assert!(all.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
    }

    #[test]
    fn opens_what_it_sealed_in_its_order_and_nothing_that_was_changed() {
        let sealed = successors(1).seal("a", &claims()).expect("sealed");
        assert!(!sealed.windows(3).any(|window| window == b"ada"));
        let open = |secret, jti, sealed: &[u8]| successors(secret).open(jti, sealed.to_vec());
        let opened = open(1, "a", &sealed).expect("opened");
        assert_eq!(serde_json::to_string(&opened).unwrap(), serde_json::to_string(&claims()).unwrap());
        assert_eq!(open(2, "a", &sealed), None);
        assert_eq!(open(1, "b", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(1, "a", &changed), None, "byte {at}");
            assert_eq!(open(1, "a", &sealed[..at]), None, "{at} bytes");
        }
    }
}
