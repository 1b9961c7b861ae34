//! The names by which a token can be revoked.

use std::array;
use std::iter::Flatten;

use aws_lc_rs::{digest, hmac, rand};
use serde_json::Value;

use super::Revocations;
use crate::base::UnixTime;
use crate::jwt::Claims;

/// Makes names of 16 bytes. Its key is the process's own: names are never written down.
pub(super) struct NameKey(hmac::Key);

/// The kinds of names, so that a `jti` is never taken for a `sid`.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Token,
    Session,
    Subject,
    Input,
}

impl NameKey {
    pub(super) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new());
        Self(key.expect("the system has random bytes"))
    }

    pub(super) fn token(&self, issuer: Option<&str>, jti: &str) -> u128 {
        self.name(Kind::Token, issuer, jti)
    }

    pub(super) fn session(&self, issuer: Option<&str>, sid: &str) -> u128 {
        self.name(Kind::Session, issuer, sid)
    }

    pub(super) fn subject(&self, issuer: Option<&str>, subject: &str) -> u128 {
        self.name(Kind::Subject, issuer, subject)
    }

    pub(super) fn input(&self, digest: &str) -> u128 {
        self.name(Kind::Input, None, digest)
    }

    /// Each part is preceded by its length: no two lists of parts are one text.
    fn name(&self, kind: Kind, issuer: Option<&str>, text: &str) -> u128 {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&[kind as u8, u8::from(issuer.is_some())]);
        let issuer = issuer.unwrap_or_default();
        context.update(&(issuer.len() as u64).to_be_bytes());
        context.update(issuer.as_bytes());
        context.update(text.as_bytes());
        let tag = context.sign();
        let name = tag.as_ref().first_chunk().expect("a tag of 32 bytes");
        u128::from_be_bytes(*name)
    }
}

/// The names of one token, made once and kept with it.
#[derive(Debug, Clone, Copy)]
pub struct TokenNames {
    issued_at: Option<UnixTime>,
    /// Of the token itself, its session, its subject.
    names: [Option<u128>; 3],
}

impl Revocations {
    /// The names of a token with these claims. `input` is what was signed, or the whole text where nothing was:
    /// it names a token that has no `jti`.
    #[must_use]
    pub fn names(&self, claims: &Claims, input: &[u8]) -> TokenNames {
        let (key, issuer) = (&self.key, claims.issuer());
        let itself = match claims.id() {
            Some(jti) => key.token(issuer, jti),
            None => key.input(&input_digest(input)),
        };
        let session = claims.members().get("sid").and_then(Value::as_str);
        TokenNames {
            issued_at: claims.issued_at(),
            names: [
                Some(itself),
                session.map(|sid| key.session(issuer, sid)),
                subject(claims).map(|subject| key.subject(issuer, &subject)),
            ],
        }
    }
}

impl TokenNames {
    pub(super) fn issued_at(&self) -> Option<UnixTime> {
        self.issued_at
    }

    pub(super) fn names(&self) -> Flatten<array::IntoIter<Option<u128>, 3>> {
        self.names.into_iter().flatten()
    }
}

/// Whom a token is about: `sub`, or what SimpleJWT writes in its place, a text or the database's integer.
#[must_use]
pub fn subject(claims: &Claims) -> Option<String> {
    if let Some(subject) = claims.subject() {
        return Some(subject.to_owned());
    }
    match claims.members().get("user_id")? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) if !id.is_f64() => Some(id.to_string()),
        _ => None,
    }
}

/// The digest that names a token without a `jti`, in hexadecimal digits.
#[must_use]
pub fn input_digest(input: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, input);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
