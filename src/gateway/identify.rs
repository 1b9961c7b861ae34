//! What the upstream learns of the caller: claims become headers.

use std::fmt::Write as _;
use std::rc::Rc;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::authenticate::Principal;
use crate::config::{Identity, IdentityHeader, IdentitySource};
use crate::http::Refusal;
use crate::jwt::Claims;
use crate::providers::Provider;

/// A route's identity headers, named so that prepared values can be found again.
#[derive(Debug)]
pub(super) struct IdentityPlan {
    id: usize,
    headers: Vec<IdentityHeader>,
}

/// The values that one plan made of one token under one provider; kept with the token.
#[derive(Debug)]
pub(super) struct PreparedHeaders {
    plan: usize,
    provider: usize,
    values: Rc<[(HeaderName, HeaderValue)]>,
}

impl IdentityPlan {
    pub(super) fn new(id: usize, identity: &Identity) -> Self {
        Self { id, headers: identity.headers.clone() }
    }

    /// Adds the caller's headers to a request whose inbound copies are gone already.
    ///
    /// # Errors
    /// [`Refusal::MissingIdentity`] where a claim is absent that the route needs.
    pub(super) fn inject(&self, principal: &Principal, headers: &mut HeaderMap) -> Result<(), Refusal> {
        for (name, value) in &*self.values(principal)? {
            headers.insert(name.clone(), value.clone());
        }
        Ok(())
    }

    fn values(&self, principal: &Principal) -> Result<Rc<[(HeaderName, HeaderValue)]>, Refusal> {
        let provider = principal.provider.index();
        let mut prepared = principal.token.prepared.borrow_mut();
        let known = prepared.iter().find(|known| known.plan == self.id && known.provider == provider);
        if let Some(known) = known {
            return Ok(Rc::clone(&known.values));
        }
        let values: Rc<[_]> = self.prepare(&principal.token.token.claims, &principal.provider)?.into();
        prepared.push(PreparedHeaders { plan: self.id, provider, values: Rc::clone(&values) });
        Ok(values)
    }

    fn prepare(
        &self,
        claims: &Claims,
        provider: &Provider,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Refusal> {
        let mut values = Vec::with_capacity(self.headers.len());
        for header in &self.headers {
            let value = match &header.source {
                IdentitySource::ConfiguredIssuer => provider.issuer_header(claims.issuer()),
                // Of a small alphabet of visible ASCII.
                IdentitySource::Tenant => {
                    provider.tenant_of(claims.issuer()).and_then(|tenant| HeaderValue::from_str(tenant).ok())
                }
                IdentitySource::Claims(paths) => {
                    paths.iter().find_map(|path| claims.get(path)).and_then(header_value)
                }
            };
            match value {
                Some(value) => values.push((header.name.clone(), value)),
                None if header.optional => {}
                None => return Err(Refusal::MissingIdentity { header: header.name.as_str().into() }),
            }
        }
        Ok(values)
    }
}

/// A claim as a header shows it; `None` for `null`, which is as good as absent.
///
/// Everything outside visible ASCII is percent-encoded, and `%` itself too: two different claims never make one
/// header. Items of a list are joined by commas, and a comma within an item is encoded. Objects are JSON.
fn header_value(claim: &Value) -> Option<HeaderValue> {
    let mut text = String::new();
    match claim {
        Value::Null => return None,
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                push_encoded(&mut text, &plain(item), |byte| byte == b',');
            }
        }
        other => push_encoded(&mut text, &plain(other), |_| false),
    }
    Some(HeaderValue::from_str(&text).expect("only visible ASCII was written"))
}

fn plain(claim: &Value) -> String {
    match claim {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn push_encoded(text: &mut String, value: &str, also: impl Fn(u8) -> bool) {
    for byte in value.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' && !also(byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("a string takes every text");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(claim: &Value) -> String {
        header_value(claim).expect("a value").to_str().expect("visible ASCII").to_owned()
    }

    #[test]
    fn false_and_zero_are_values_and_null_is_none() {
        assert_eq!(shown(&json!(false)), "false");
        assert_eq!(shown(&json!(0)), "0");
        assert_eq!(shown(&json!("")), "");
        assert_eq!(header_value(&json!(null)), None);
    }

    #[test]
    fn what_is_not_visible_ascii_is_percent_encoded() {
        assert_eq!(shown(&json!("Zoë\r\nX-Admin: 1")), "Zo%C3%AB%0D%0AX-Admin:%201");
        assert_eq!(shown(&json!("a\u{0}b\u{7f}")), "a%00b%7F");
    }

    #[test]
    fn two_different_claims_never_make_one_header() {
        assert_ne!(shown(&json!("é")), shown(&json!("%C3%A9")));
        assert_ne!(shown(&json!(["a,b"])), shown(&json!(["a", "b"])));
    }

    #[test]
    fn lists_are_joined_and_objects_are_json() {
        assert_eq!(shown(&json!(["a", 1, true])), "a,1,true");
        assert_eq!(shown(&json!({"a": [1]})), "{\"a\":[1]}");
    }
}
