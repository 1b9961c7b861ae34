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
