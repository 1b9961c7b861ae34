//! The kinds of tokens with which a caller may be known to a protected route.

/// One of SimpleJWT's `AUTH_TOKEN_CLASSES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenClass {
    /// Lives for minutes; a refresh token brings the next.
    Access,
    /// Renews itself as long as it is used.
    Sliding,
}

impl TokenClass {
    /// Its name among SimpleJWT's classes, as Django REST framework's clients are told it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "AccessToken",
            Self::Sliding => "SlidingToken",
        }
    }

    /// The value of the claim that tells the type, and of `issuer.auth_token_classes`.
    #[must_use]
    pub const fn token_type(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Sliding => "sliding",
        }
    }
}
