//! The names by which a token can be revoked.

use std::array;
use std::iter::Flatten;

use aws_lc_rs::{digest, hmac, rand};
use serde_json::Value;

use super::Revocations;
use crate::base::UnixTime;
use crate::config::TokenForm;
use crate::jwt::Claims;
use crate::store::Revoked;

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

    /// The name under which a revocation is found.
    pub(super) fn of(&self, what: &Revoked) -> u128 {
        match what {
            Revoked::Token { issuer, jti } => self.name(Kind::Token, issuer.as_deref(), jti),
            Revoked::Session { issuer, sid } => self.name(Kind::Session, issuer.as_deref(), sid),
            Revoked::Subject { issuer, subject, .. } => self.name(Kind::Subject, issuer.as_deref(), subject),
            Revoked::Input { digest } => self.name(Kind::Input, None, digest),
        }
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

/// In which claims a token names itself and its user, besides `jti` and `sub`: our own may go by other names, as
/// SimpleJWT's settings allow.
#[derive(Debug, Clone)]
pub struct Naming {
    jti: String,
    user: String,
}

impl Default for Naming {
    fn default() -> Self {
        Self { jti: "jti".to_owned(), user: "user_id".to_owned() }
    }
}

impl Naming {
    /// As our own tokens are made.
    #[must_use]
    pub fn of(form: &TokenForm) -> Self {
        Self { jti: form.jti_claim.clone(), user: form.user_id_claim.clone() }
    }

    /// What revokes a token and nothing else. `input` is what was signed, or the whole text where nothing was: it names
    /// a token that does not name itself.
    #[must_use]
    pub fn token(&self, claims: &Claims, input: &[u8]) -> Revoked {
        let issuer = claims.issuer().map(str::to_owned);
        let own = || claims.members().get(&self.jti).and_then(Value::as_str);
        match claims.id().or_else(own) {
            Some(jti) => Revoked::Token { issuer, jti: jti.to_owned() },
            None => Revoked::Input { digest: input_digest(input) },
        }
    }

    /// What revokes a token that only its issuer can read, where the issuer says of no `jti`.
    #[must_use]
    pub fn text(text: &[u8]) -> Revoked {
        Revoked::Input { digest: input_digest(text) }
    }

    /// Whom a token is about: `sub`, or what SimpleJWT writes in its place, a text or the database's integer.
    fn subject(&self, claims: &Claims) -> Option<String> {
        if let Some(subject) = claims.subject() {
            return Some(subject.to_owned());
        }
        match claims.members().get(&self.user)? {
            Value::String(id) => Some(id.clone()),
            Value::Number(id) if !id.is_f64() => Some(id.to_string()),
            _ => None,
        }
    }
}

impl Revocations {
    /// The names of a token with these claims. `input` is what was signed, or the whole text where nothing was.
    #[must_use]
    pub fn names(&self, claims: &Claims, input: &[u8]) -> TokenNames {
        self.names_under(claims.issuer(), claims, input)
    }

    /// As [`Self::names`], for a token that is ended under another name of its issuer than its own claim tells.
    #[must_use]
    pub fn names_under(&self, issuer: Option<&str>, claims: &Claims, input: &[u8]) -> TokenNames {
        let key = &self.key;
        let session = claims.members().get("sid").and_then(Value::as_str);
        TokenNames {
            issued_at: claims.issued_at(),
            names: [
                Some(key.of(&self.naming.token(claims, input))),
                session.map(|sid| key.name(Kind::Session, issuer, sid)),
                self.naming.subject(claims).map(|subject| key.name(Kind::Subject, issuer, &subject)),
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

fn input_digest(input: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, input);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
