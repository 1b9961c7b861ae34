//! The `typ` in the header of a token (RFC 7515, section 4.1.9): which kind of token it is (RFC 8725, section 3.11).

/// A kind of token, such as `at+jwt` (RFC 9068).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenTyp(String);

/// Kinds that are never good for access, whoever signed them: logout tokens (OpenID Connect Back-Channel Logout,
/// section 2.4), security events (RFC 8417), proofs of possession (RFC 9449).
const FOREIGN: [&str; 3] = ["logout+jwt", "secevent+jwt", "dpop+jwt"];

impl TokenTyp {
    /// The kind that this `typ` names.
    #[must_use]
    pub fn new(typ: &str) -> Self {
        Self(short(typ).to_ascii_lowercase())
    }

    /// Whether this `typ`, as a token has it, names the kind.
    #[must_use]
    pub fn is(&self, typ: &str) -> bool {
        short(typ).eq_ignore_ascii_case(&self.0)
    }

    /// Whether no provider's access tokens are of this kind.
    #[must_use]
    pub fn is_never_for_access(&self) -> bool {
        Self::is_foreign(&self.0)
    }

    /// Whether this `typ`, as a token has it, names a kind that is never good for access.
    #[must_use]
    pub fn is_foreign(typ: &str) -> bool {
        FOREIGN.iter().any(|foreign| foreign.eq_ignore_ascii_case(short(typ)))
    }
}

/// `application/` may be left out before a name without a slash, and media types have no case.
fn short(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, subtype)) if prefix.eq_ignore_ascii_case(PREFIX) && !subtype.contains('/') => subtype,
        _ => typ,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn application_may_be_left_out_and_case_does_not_count() {
        for configured in ["at+jwt", "application/at+jwt", "AT+JWT"] {
            for typ in ["at+jwt", "AT+jwt", "application/at+jwt", "Application/AT+JWT"] {
                assert!(TokenTyp::new(configured).is(typ), "{configured} {typ}");
            }
            for typ in
                ["", "jwt", "text/at+jwt", "application/x/at+jwt", "application/", "at+jwt ", "ä/at+jwt"]
            {
                assert!(!TokenTyp::new(configured).is(typ), "{configured} {typ}");
            }
        }
    }
}
