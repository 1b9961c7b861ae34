//! A JSON Web Token (RFC 7519): a JWS whose payload is a set of claims.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use crate::base::Algorithm;

use super::claims::Claims;
use super::error::ParseError;
use super::json;
use super::jws::{Jws, Limits};

/// A token that was read. Nothing says yet that it is genuine: [`verify`](super::verify()) does.
#[derive(Debug, Clone)]
pub struct Token<'t> {
    jws: Jws<'t>,
    claims: Claims,
}

/// Reads a token: compact JWS, strict in every part.
///
/// # Errors
/// See [`ParseError`]. A text over the limit costs nothing but the look at its length.
pub fn parse<'t>(text: &'t [u8], limits: &Limits) -> Result<Token<'t>, ParseError> {
    let jws = Jws::parse(text, limits)?;
    let claims = Claims::from_members(json::object(jws.payload(), limits.nesting)?)?;
    Ok(Token { jws, claims })
}

/// `iss` as anybody could have written it, of a text that looks like a token but is none that is taken: only good to
/// tell whose business it is. The reading is as lenient as can be.
#[must_use]
pub fn claimed_issuer(text: &[u8]) -> Option<String> {
    let payload = text.split(|byte| *byte == b'.').nth(1)?;
    let payload = LENIENT.decode(payload).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    Some(claims.get("iss")?.as_str()?.to_owned())
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads a JSON object that a provider sent about a token, as strictly as a token itself.
///
/// # Errors
/// See [`ParseError`].
pub fn parse_object(text: &[u8], limits: &Limits) -> Result<Map<String, Value>, ParseError> {
    Ok(json::object(text, limits.nesting)?)
}

impl<'t> Token<'t> {
    /// `alg`.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.jws.algorithm()
    }

    /// `kid`.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.jws.kid()
    }

    /// `typ` of the header, as it was written.
    #[must_use]
    pub fn typ(&self) -> Option<&str> {
        self.jws.typ()
    }

    /// What the token says.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// What the token says, without the rest.
    #[must_use]
    pub fn into_claims(self) -> Claims {
        self.claims
    }

    /// The signed text around the claims.
    #[must_use]
    pub const fn jws(&self) -> &Jws<'t> {
        &self.jws
    }

    /// What was signed.
    #[must_use]
    pub const fn signing_input(&self) -> &'t [u8] {
        self.jws.signing_input()
    }

    /// The signature's bytes.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        self.jws.signature()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    #[test]
    fn tells_whose_a_token_would_be_however_broken_it_is() {
        let payload = br#"{"iss":"https://id.example.com","x":1}"#;
        let (plain, padded) = (URL_SAFE_NO_PAD.encode(payload), URL_SAFE.encode(payload));
        for text in
            [format!("e30.{plain}.x"), format!("?.{padded}"), format!("..{plain}"), format!(".{plain}.a.b.c")]
        {
            let expected = (!text.starts_with("..")).then(|| "https://id.example.com".to_owned());
            assert_eq!(claimed_issuer(text.as_bytes()), expected, "{text}");
        }
        for text in ["", "opaque", "a.b", "a.e30.b", "a.eyJpc3MiOjd9.b", "a.W10.b"] {
            assert_eq!(claimed_issuer(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_claimed_issuer_is_found_or_not_in_any_text(head in "[^.]{0,9}", issuer in "[a-z:/]{1,20}", rest in ".{0,20}") {
            let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"iss":"{issuer}"}}"#));
            prop_assert_eq!(claimed_issuer(format!("{head}.{payload}.{rest}").as_bytes()), Some(issuer));
            let _ = claimed_issuer(rest.as_bytes());
        }
    }
}
