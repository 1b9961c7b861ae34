//! JSON Web Keys (RFC 7517; RFC 7518, section 6; RFC 8037) and their thumbprints (RFC 7638).

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::base::{Algorithm, AlgorithmSet, KeyFamily, Secret, ShortText};

use super::key::{KeyError, Origin};
use super::material::Material;

/// Reads a JWK that verifies signatures: its name, and the prepared key.
pub(super) fn read(jwk: &Value, origin: Origin) -> Result<(Option<&str>, Material), KeyError> {
    let jwk = Members(jwk.as_object().ok_or(KeyError::NotAnObject)?);
    let kid = jwk.optional_text("kid")?;
    check_use(jwk)?;
    let kty = jwk.text("kty")?;
    if origin == Origin::Fetched {
        if kty == "oct" {
            return Err(KeyError::FetchedSecret);
        }
        if jwk.0.contains_key("d") {
            return Err(KeyError::PrivateKey);
        }
    }
    let material = match kty {
        "RSA" => {
            Material::rsa_components(&jwk.bytes("n")?, &jwk.bytes("e")?, jwk.algorithms(KeyFamily::Rsa)?)?
        }
        "EC" => {
            let (family, length) = match jwk.text("crv")? {
                "P-256" => (KeyFamily::P256, 32),
                "P-384" => (KeyFamily::P384, 48),
                "P-521" => (KeyFamily::P521, 66),
                crv => return Err(KeyError::UnknownCurve { crv: ShortText::new(crv.as_bytes()) }),
            };
            let (x, y) = (jwk.coordinate("x", length)?, jwk.coordinate("y", length)?);
            Material::ec_point(family, &x, &y, jwk.algorithms(family)?)?
        }
        "OKP" => match jwk.text("crv")? {
            "Ed25519" => Material::ed25519(&jwk.coordinate("x", 32)?, jwk.algorithms(KeyFamily::Ed25519)?)?,
            crv => return Err(KeyError::UnknownCurve { crv: ShortText::new(crv.as_bytes()) }),
        },
        "oct" => secret(jwk)?,
        kty => return Err(KeyError::UnknownType { kty: ShortText::new(kty.as_bytes()) }),
    };
    Ok((kid, material))
}

/// The thumbprint of a JWK: SHA-256, base64url. `None` if `kty` is unknown or one of its members is missing.
#[must_use]
pub fn thumbprint(jwk: &Value) -> Option<String> {
    // In the order that the RFC asks for (section 3.2, lexicographic).
    let names: &[&str] = match jwk.get("kty")?.as_str()? {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "oct" => &["k", "kty"],
        _ => return None,
    };
    let mut members = Map::new();
    for name in names {
        members.insert((*name).to_owned(), Value::String(jwk.get(name)?.as_str()?.to_owned()));
    }
    let canonical = Value::Object(members).to_string();
    Some(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes())))
}

/// RFC 7517, sections 4.2 and 4.3: a key for encryption, or one that only signs, verifies nothing.
fn check_use(jwk: Members<'_>) -> Result<(), KeyError> {
    if jwk.optional_text("use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(KeyError::WrongUse("use"));
    }
    let Some(operations) = jwk.0.get("key_ops") else { return Ok(()) };
    let operations = operations.as_array().ok_or(KeyError::MalformedMember("key_ops"))?;
    if operations.iter().any(|operation| operation == "verify") {
        Ok(())
    } else {
        Err(KeyError::WrongUse("key_ops"))
    }
}

/// A secret serves the algorithm that it is bound to, or those that it is long enough for.
fn secret(jwk: Members<'_>) -> Result<Material, KeyError> {
    let secret = Secret::new(jwk.bytes("k")?);
    if secret.is_empty() {
        return Err(KeyError::EmptySecret);
    }
    let needed = |algorithm: Algorithm| algorithm.shortest_secret().unwrap_or(usize::MAX);
    let bound = jwk.algorithms(KeyFamily::Hmac)?;
    let served: AlgorithmSet = bound.iter().filter(|algorithm| secret.len() >= needed(*algorithm)).collect();
    if served.is_empty() {
        let needed = bound.iter().map(needed).min().unwrap_or_default();
        return Err(KeyError::ShortSecret { length: secret.len(), needed });
    }
    Material::secret(&secret, served)
}

/// The members of a JWK.
#[derive(Clone, Copy)]
struct Members<'j>(&'j Map<String, Value>);

impl<'j> Members<'j> {
    fn optional_text(self, name: &'static str) -> Result<Option<&'j str>, KeyError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(KeyError::MalformedMember(name)),
        }
    }

    fn text(self, name: &'static str) -> Result<&'j str, KeyError> {
        self.optional_text(name)?.ok_or(KeyError::MissingMember(name))
    }

    fn bytes(self, name: &'static str) -> Result<Vec<u8>, KeyError> {
        URL_SAFE_NO_PAD.decode(self.text(name)?).map_err(|_| KeyError::MalformedMember(name))
    }

    /// As long as the curve's field, leading zeros included (RFC 7518, section 6.2.1.2).
    fn coordinate(self, name: &'static str, length: usize) -> Result<Vec<u8>, KeyError> {
        let bytes = self.bytes(name)?;
        if bytes.len() == length { Ok(bytes) } else { Err(KeyError::MalformedMember(name)) }
    }

    /// What a key of this family may serve: all that the family serves, or what `alg` binds it to.
    fn algorithms(self, family: KeyFamily) -> Result<AlgorithmSet, KeyError> {
        let of_family = |algorithm: &Algorithm| algorithm.family() == family;
        let Some(alg) = self.optional_text("alg")? else {
            return Ok(Algorithm::ALL.into_iter().filter(of_family).collect());
        };
        match alg.parse().ok().filter(of_family) {
            Some(algorithm) => Ok(AlgorithmSet::EMPTY.with(algorithm)),
            None => Err(KeyError::WrongAlgorithm { alg: ShortText::new(alg.as_bytes()) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_thumbprint_ignores_order_and_other_members() {
        let one = json!({ "kty": "EC", "crv": "P-256", "x": "a", "y": "b" });
        let other =
            json!({ "y": "b", "use": "sig", "x": "a", "kid": "k", "crv": "P-256", "d": "c", "kty": "EC" });
        assert_eq!(thumbprint(&one), thumbprint(&other));
        assert!(thumbprint(&one).is_some_and(|print| print.len() == 43));
        for jwk in [json!({ "kty": "EC", "x": "a", "y": "b" }), json!({ "kty": "AKP" }), json!({}), json!(1)]
        {
            assert_eq!(thumbprint(&jwk), None, "{jwk}");
        }
    }
}
