//! What is void before its time, as the database keeps it for every replica.

use crate::base::UnixTime;

/// Tokens that are refused although nothing is wrong with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Which tokens.
    pub what: Revoked,
    /// When the last of them expires, any leeway included: from then on the revocation says nothing more.
    pub expires_at: UnixTime,
}

/// How the tokens are named. A name is always one of an issuer's: two issuers may give the same to different
/// tokens, and one must not end what another issued. `None` is for tokens that name no issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoked {
    /// One token, by its `jti`.
    Token {
        /// `iss`.
        issuer: Option<String>,
        /// `jti`.
        jti: String,
    },
    /// All tokens of a session, by their `sid`.
    Session {
        /// `iss`.
        issuer: Option<String>,
        /// `sid`.
        sid: String,
    },
    /// All tokens of a subject that were issued before a time, and those that do not say when.
    Subject {
        /// `iss`.
        issuer: Option<String>,
        /// `sub`, or `user_id` where there is none.
        subject: String,
        /// A token issued in this second is none of them.
        before: UnixTime,
    },
    /// One token without a `jti`, by SHA-256 of what was signed, in hexadecimal digits: never of the whole text,
    /// since a second signature that is as good can be made of an ECDSA signature without the key.
    Input {
        /// The digest.
        digest: String,
    },
}

/// How a database keeps what is revoked.
pub(super) struct RevokedColumns<'r> {
    pub(super) kind: &'static str,
    pub(super) issuer: Option<&'r str>,
    pub(super) name: &'r str,
    /// In seconds since 1970.
    pub(super) issued_before: Option<i64>,
}

impl Revoked {
    pub(super) fn columns(&self) -> RevokedColumns<'_> {
        let (kind, issuer, name, issued_before) = match self {
            Self::Token { issuer, jti } => ("token", issuer, jti, None),
            Self::Session { issuer, sid } => ("session", issuer, sid, None),
            Self::Subject { issuer, subject, before } => ("subject", issuer, subject, Some(before.0)),
            Self::Input { digest } => ("input", &None, digest, None),
        };
        RevokedColumns { kind, issuer: issuer.as_deref(), name, issued_before }
    }

    pub(super) fn of_columns(
        kind: &str,
        issuer: Option<String>,
        name: String,
        issued_before: Option<i64>,
    ) -> Self {
        match kind {
            "token" => Self::Token { issuer, jti: name },
            "session" => Self::Session { issuer, sid: name },
            "subject" => {
                let before = UnixTime(issued_before.unwrap_or(i64::MAX));
                Self::Subject { issuer, subject: name, before }
            }
            _ => Self::Input { digest: name },
        }
    }
}

/// Revocations by their number, and where the count stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevocationPage {
    /// In the order of their numbers.
    pub revocations: Vec<Revocation>,
    /// The number of the last one here, or the one that was asked for.
    pub last: i64,
    /// The highest number that was ever given. Lower than what was seen before: this is another database, such as
    /// one restored from a copy.
    pub highest: i64,
}
