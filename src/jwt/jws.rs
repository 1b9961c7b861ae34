//! The compact serialization of a JWS (RFC 7515, section 7.1): three segments, and what the header says.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::base::{Algorithm, ShortText};

use super::error::ParseError;
use super::json;

/// How much a token may ask of its reader. Lengths are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The whole text; default 16 KiB.
    pub token: usize,
    /// The header, decoded; default 4 KiB.
    pub header: usize,
    /// Arrays and objects within one another, the outermost object counted; default 16.
    pub nesting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { token: 16 << 10, header: 4 << 10, nesting: 16 }
    }
}

/// A signed text: its header was read, its signature not yet checked, its payload may be anything.
#[derive(Clone)]
pub struct Jws<'t> {
    header: Header,
    signing_input: &'t [u8],
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'t> Jws<'t> {
    /// Takes the text apart and reads the header.
    ///
    /// The cheapest refusals come first: the length, the number of dots, the header's length; garbage is not
    /// even decoded.
    ///
    /// # Errors
    /// See [`ParseError`]; none of those that are about claims.
    pub fn parse(text: &'t [u8], limits: &Limits) -> Result<Self, ParseError> {
        if text.len() > limits.token {
            return Err(ParseError::TooLong);
        }
        let mut dots = memchr::memchr_iter(b'.', text);
        let (Some(first), Some(second)) = (dots.next(), dots.next()) else {
            return Err(ParseError::Segments);
        };
        match dots.count() {
            0 => {}
            // Every JOSE header begins with `{"`, which is `ey` in base64url.
            2 if text.starts_with(b"ey") => return Err(ParseError::Encrypted),
            _ => return Err(ParseError::Segments),
        }
        let header = &text[..first];
        if base64::decoded_len_estimate(header.len()) > limits.header.saturating_add(2) {
            return Err(ParseError::TooLong);
        }
        let header = decode(header)?;
        if header.len() > limits.header {
            return Err(ParseError::TooLong);
        }
        Ok(Self {
            header: Header::read(&header, limits.nesting)?,
            signing_input: &text[..second],
            payload: decode(&text[first + 1..second])?,
            signature: decode(&text[second + 1..])?,
        })
    }

    /// `alg`.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.header.algorithm
    }

    /// `kid`: a stranger's text, only ever compared with the names of keys that are already known.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// `typ` as it was written.
    #[must_use]
    pub fn typ(&self) -> Option<&str> {
        self.header.typ.as_deref()
    }

    /// What was signed: header and payload with the dot between, as they came.
    #[must_use]
    pub const fn signing_input(&self) -> &'t [u8] {
        self.signing_input
    }

    /// The signature's bytes.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The payload's bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

impl fmt::Debug for Jws<'_> {
    /// Never the text: whoever has it is its bearer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jws")
            .field("algorithm", &self.algorithm())
            .field("kid", &self.kid().map(|kid| ShortText::new(kid.as_bytes())))
            .finish_non_exhaustive()
    }
}

/// Takes only canonical base64url: no padding, no other characters, no bits set beyond the last byte. So two
/// different texts are never the same token.
fn decode(segment: &[u8]) -> Result<Vec<u8>, ParseError> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| ParseError::Base64)
}

/// The members of a header that are looked at. `jku`, `jwk`, `x5u` and `x5c` are not among them: a token
/// never says which key it is to be verified with, beyond a `kid`.
#[derive(Clone)]
struct Header {
    algorithm: Algorithm,
    kid: Option<String>,
    typ: Option<String>,
}

impl Header {
    fn read(text: &[u8], nesting: usize) -> Result<Self, ParseError> {
        let ([alg, kid, typ], rest) = json::object_apart(text, nesting, ["alg", "kid", "typ"])?;
        if rest.contains_key("enc") {
            return Err(ParseError::Encrypted);
        }
        // An empty list is as malformed as an unknown name is unknown (RFC 7515, section 4.1.11).
        if rest.contains_key("crit") || rest.get("b64").is_some_and(|b64| *b64 != Value::Bool(true)) {
            return Err(ParseError::CriticalHeader);
        }
        let text = |member: &'static str, value| match value {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(ParseError::MalformedHeader { member }),
        };
        let alg = text("alg", alg)?.ok_or(ParseError::MissingAlgorithm)?;
        let algorithm =
            alg.parse().map_err(|_| ParseError::UnknownAlgorithm { alg: ShortText::new(alg.as_bytes()) })?;
        Ok(Self { algorithm, kid: text("kid", kid)?, typ: text("typ", typ)? })
    }
}
