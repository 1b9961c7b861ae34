//! What a token says (RFC 7519, section 4).

use std::fmt;
use std::slice;

use serde_json::{Map, Value};

use crate::base::{ClaimPath, UnixTime};

use super::error::ParseError;

/// The claims of a token, in their order. The registered ones are of the right type: they were checked once,
/// when this was made.
#[derive(Clone, PartialEq)]
pub struct Claims {
    members: Map<String, Value>,
    expires_at: Option<UnixTime>,
    not_before: Option<UnixTime>,
    issued_at: Option<UnixTime>,
}

impl Claims {
    /// Takes an object as the claims of a token.
    ///
    /// # Errors
    /// [`ParseError::MalformedClaim`] if `iss`, `sub` or `jti` is no string, `aud` neither a string nor a list
    /// of strings, or `exp`, `nbf` or `iat` no number of seconds within range. `null` is no value for any.
    pub fn from_members(members: Map<String, Value>) -> Result<Self, ParseError> {
        let (mut expires_at, mut not_before, mut issued_at) = (None, None, None);
        for (name, value) in &members {
            match name.as_str() {
                "exp" => expires_at = Some(numeric_date("exp", value)?),
                "nbf" => not_before = Some(numeric_date("nbf", value)?),
                "iat" => issued_at = Some(numeric_date("iat", value)?),
                "iss" => text("iss", value)?,
                "sub" => text("sub", value)?,
                "jti" => text("jti", value)?,
                "aud" => texts("aud", value)?,
                _ => {}
            }
        }
        Ok(Self { members, expires_at, not_before, issued_at })
    }

    /// All of them.
    #[must_use]
    pub const fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// All of them, owned.
    #[must_use]
    pub fn into_members(self) -> Map<String, Value> {
        self.members
    }

    /// The value at a path; `None` if it, or an object on the way to it, is not there.
    #[must_use]
    pub fn get(&self, path: &ClaimPath) -> Option<&Value> {
        let (first, rest) = path.segments().split_first()?;
        rest.iter().try_fold(self.members.get(&**first)?, |value, name| value.as_object()?.get(&**name))
    }

    /// `iss`: who issued the token.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.text("iss")
    }

    /// `sub`: whom it is about.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.text("sub")
    }

    /// `jti`: the token's own name.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.text("jti")
    }

    /// `aud`: whom it is meant for, whether written as one or as a list.
    pub fn audiences(&self) -> impl Iterator<Item = &str> {
        let audiences = match self.members.get("aud") {
            Some(Value::Array(audiences)) => audiences.as_slice(),
            Some(audience) => slice::from_ref(audience),
            None => &[],
        };
        audiences.iter().filter_map(Value::as_str)
    }

    /// `exp`: from this second on it is void.
    #[must_use]
    pub const fn expires_at(&self) -> Option<UnixTime> {
        self.expires_at
    }

    /// `nbf`: before this second it is not yet good.
    #[must_use]
    pub const fn not_before(&self) -> Option<UnixTime> {
        self.not_before
    }

    /// `iat`: when it was made.
    #[must_use]
    pub const fn issued_at(&self) -> Option<UnixTime> {
        self.issued_at
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name).and_then(Value::as_str)
    }
}

impl fmt::Debug for Claims {
    /// Names only: values are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claims").field(&self.members.keys().collect::<Vec<_>>()).finish()
    }
}

fn text(claim: &'static str, value: &Value) -> Result<(), ParseError> {
    if value.is_string() { Ok(()) } else { Err(ParseError::MalformedClaim { claim }) }
}

fn texts(claim: &'static str, value: &Value) -> Result<(), ParseError> {
    let good = match value {
        Value::Array(values) => values.iter().all(Value::is_string),
        value => value.is_string(),
    };
    if good { Ok(()) } else { Err(ParseError::MalformedClaim { claim }) }
}

/// A fraction is cut, as `PyJWT` does: `exp` comes at most a second early, `nbf` at most a second.
fn numeric_date(claim: &'static str, value: &Value) -> Result<UnixTime, ParseError> {
    // Beyond 2^53 a float no longer counts single seconds.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    let malformed = || ParseError::MalformedClaim { claim };
    let number = value.as_number().ok_or_else(malformed)?;
    if let Some(seconds) = number.as_i64() {
        return Ok(UnixTime(seconds));
    }
    let seconds = number.as_f64().filter(|seconds| seconds.abs() <= LARGEST).ok_or_else(malformed)?;
    #[expect(clippy::cast_possible_truncation, reason = "within ±2^53, and the fraction is to be cut")]
    Ok(UnixTime(seconds as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: Value) -> Result<Claims, ParseError> {
        let Value::Object(members) = value else { panic!("an object") };
        Claims::from_members(members)
    }

    #[test]
    fn registered_claims_are_read() {
        let claims = claims(json!({
            "iss": "i", "sub": "s", "jti": "j", "aud": ["a", "b"], "exp": 10, "nbf": 9.9, "iat": -1.5
        }))
        .unwrap();
        assert_eq!((claims.issuer(), claims.subject(), claims.id()), (Some("i"), Some("s"), Some("j")));
        assert_eq!(claims.audiences().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(claims.expires_at(), Some(UnixTime(10)));
        assert_eq!(claims.not_before(), Some(UnixTime(9)));
        assert_eq!(claims.issued_at(), Some(UnixTime(-1)));
    }

    #[test]
    fn absent_claims_are_absent() {
        let claims = claims(json!({})).unwrap();
        assert_eq!((claims.issuer(), claims.subject(), claims.id()), (None, None, None));
        assert_eq!(claims.audiences().count(), 0);
        assert_eq!((claims.expires_at(), claims.not_before(), claims.issued_at()), (None, None, None));
    }

    #[test]
    fn refuses_registered_claims_of_the_wrong_type() {
        for claim in ["iss", "sub", "jti"] {
            for value in [json!(1), json!(null), json!(["a"]), json!(true), json!({})] {
                assert_eq!(
                    claims(json!({claim: value})),
                    Err(ParseError::MalformedClaim { claim }),
                    "{value}"
                );
            }
        }
        for value in [json!(1), json!(null), json!(["a", 1]), json!([["a"]]), json!({"a": 1})] {
            assert_eq!(
                claims(json!({"aud": value})),
                Err(ParseError::MalformedClaim { claim: "aud" }),
                "{value}"
            );
        }
        for claim in ["exp", "nbf", "iat"] {
            let out_of_range = [json!(1e300), json!(-1e300), json!(u64::MAX), json!(1e16)];
            let no_number = [json!("10"), json!(null), json!(true), json!([10])];
            for value in out_of_range.into_iter().chain(no_number) {
                assert_eq!(
                    claims(json!({claim: value})),
                    Err(ParseError::MalformedClaim { claim }),
                    "{value}"
                );
            }
        }
    }

    #[test]
    fn a_path_leads_through_objects_only() {
        let claims =
            claims(json!({"realm": {"roles": ["a"], "n": null}, "a.b": 1, "list": [{"x": 1}]})).unwrap();
        let get = |path: &str| claims.get(&path.parse().unwrap());
        assert_eq!(get("realm.roles"), Some(&json!(["a"])));
        assert_eq!(get("realm.n"), Some(&Value::Null));
        assert_eq!(get("\"a.b\""), Some(&json!(1)));
        for path in ["a.b", "realm.roles.a", "list.x", "list.0", "none", "realm.n.x"] {
            assert_eq!(get(path), None, "{path}");
        }
    }

    #[test]
    fn prints_no_values() {
        assert_eq!(
            format!("{:?}", claims(json!({"email": "ada@example.com"})).unwrap()),
            "Claims([\"email\"])"
        );
    }
}
