//! Why a request did not pass, as one word for log, metric, command line and docs.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// The reason of a refusal or failure. The client never sees it: it gets a standard error code
        /// and a sentence; the operator finds this word in the log and in the metrics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum ReasonCode {
            $($(#[$doc])* $variant,)*
        }

        impl ReasonCode {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// The path holds `%00`, invalid UTF-8, a bad escape or bytes that servers read differently.
    AmbiguousPath = "ambiguous_path",
    /// `Host` is missing, doubled, malformed, or differs from the request's own authority.
    BadHost = "bad_host",
    /// The head is over the file's size or has too many fields.
    HeadTooLarge = "head_too_large",
    /// The head did not arrive in time.
    HeadTimeout = "head_timeout",
    /// The body is over the route's limit.
    BodyTooLarge = "body_too_large",
    /// The body did not arrive in time.
    BodyTimeout = "body_timeout",
    /// The body can't be read: broken framing or a client that stopped in its midst.
    BodyUnreadable = "body_unreadable",
    /// No route matches host and path.
    NoRoute = "no_route",
    /// The route is there, but not for this method; CONNECT and TRACE are never taken.
    MethodNotAllowed = "method_not_allowed",
    /// No credentials were sent.
    NoToken = "no_token",
    /// The credentials are in no form that the route takes.
    MalformedCredentials = "malformed_credentials",
    /// The token is no compact JWS of strict form.
    MalformedToken = "malformed_token",
    /// The token is longer than any that is looked at.
    TokenTooLarge = "token_too_large",
    /// The token is encrypted (JWE).
    EncryptedToken = "encrypted_token",
    /// `alg` is unknown, `none`, or not among those of the provider.
    AlgorithmNotAllowed = "algorithm_not_allowed",
    /// `crit` names an extension that is not understood, or `b64` is false.
    CriticalHeader = "critical_header",
    /// `typ` names another kind of token than the provider's access tokens, or is absent where one is asked for.
    WrongTyp = "wrong_typ",
    /// No provider of the route has this issuer.
    UnknownIssuer = "unknown_issuer",
    /// No key of the provider fits `kid` and `alg`.
    UnknownKey = "unknown_key",
    /// The signature does not verify.
    BadSignature = "bad_signature",
    /// The provider's tokens were taken until a date, which has passed.
    ProviderEnded = "provider_ended",
    /// `exp` is in the past.
    Expired = "expired",
    /// There is no `exp`.
    MissingExpiry = "missing_expiry",
    /// `nbf` is in the future.
    NotYetValid = "not_yet_valid",
    /// `iat` is in the future.
    IssuedInTheFuture = "issued_in_the_future",
    /// `iat` is longer ago than the provider allows.
    TokenTooOld = "token_too_old",
    /// There is more time between `iat` and `exp` than the provider allows.
    LifetimeTooLong = "lifetime_too_long",
    /// `aud` names none of the provider's audiences, or not all where all are asked for.
    WrongAudience = "wrong_audience",
    /// `azp` or `client_id` is another than the provider allows, or both are absent.
    WrongAuthorizedParty = "wrong_authorized_party",
    /// `token_type` is of another kind than an access token.
    WrongTokenType = "wrong_token_type",
    /// The token says nothing of its type, and the provider asks for one.
    MissingTokenType = "missing_token_type",
    /// The token has no name of its own, and the provider asks for one.
    MissingTokenId = "missing_token_id",
    /// The token names no user, and the route asks about its user.
    MissingUser = "missing_user",
    /// The token's user does not exist any more.
    UnknownUser = "unknown_user",
    /// The token's user is kept out.
    InactiveUser = "inactive_user",
    /// The token's user has another password since.
    PasswordChanged = "password_changed",
    /// A claim that the provider requires is absent.
    MissingClaim = "missing_claim",
    /// A claim has none of the values that the provider requires.
    WrongClaimValue = "wrong_claim_value",
    /// A registered claim is of the wrong type.
    MalformedClaim = "malformed_claim",
    /// The provider says that the token is not active (RFC 7662): unknown to it, expired or revoked.
    InactiveToken = "inactive_token",
    /// The token, its session or its subject was revoked.
    Revoked = "revoked",
    /// A claim that the route turns into a header is absent.
    MissingIdentity = "missing_identity",
    /// The provider's keys are not known at present.
    KeysUnavailable = "keys_unavailable",
    /// Which tokens were revoked is not known yet, since the database did not answer after the start.
    RevocationsUnavailable = "revocations_unavailable",
    /// The provider that would know the token does not answer, or not what it should.
    IntrospectionUnavailable = "introspection_unavailable",
    /// The provider is being asked about as many tokens as the file allows.
    IntrospectionBusy = "introspection_busy",
    /// The login service has more to do than it takes on.
    LoginBusy = "login_busy",
    /// The database of users and sessions does not answer.
    StoreUnavailable = "store_unavailable",
    /// No connection to the upstream.
    UpstreamUnreachable = "upstream_unreachable",
    /// The upstream did not answer in time.
    UpstreamTimeout = "upstream_timeout",
    /// The upstream's answer can't be understood or broke off.
    UpstreamBroken = "upstream_broken",
    /// The client went away before its answer.
    ClientGone = "client_gone",
    /// A defect of Tollgate itself.
    Internal = "internal_error",
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_reason_has_a_word_of_its_own() {
        let words: HashSet<_> = ReasonCode::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(words.len(), ReasonCode::ALL.len());
        assert!(ReasonCode::ALL.iter().enumerate().all(|(index, reason)| *reason as usize == index));
    }
}
