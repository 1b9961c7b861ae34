//! `keys.jwks`: a JWK set (RFC 7517) within the file, written as YAML or as JSON.
//!
//! Public keys may stand there as they are. What is secret in a key must not: as everywhere in the file it comes from
//! a variable or from a file of its own.

use serde_json::{Map, Value as Json};

use crate::base::Secret;

use super::mistake::MistakeKind;
use super::walk::Node;
use super::written::Value;

/// Members that only the owner of a key may know (RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1).
const SECRET_MEMBERS: [&str; 7] = ["k", "d", "p", "q", "dp", "dq", "qi"];

const EXPECTED: &str = "a JWK set: { keys: [...] }, or the same as JSON text";

impl Node<'_> {
    /// A JWK set with at least one key, as JSON. It may hold secrets.
    pub(super) fn jwks(&self) -> Option<Secret> {
        match self.value() {
            Value::Map(_) => {
                let set = json(self, false)?;
                if has_keys(&set) { Some(Secret::new(set.to_string())) } else { self.expected(EXPECTED) }
            }
            Value::Text(_) => self.jwks_text(),
            _ => self.expected(EXPECTED),
        }
    }

    fn jwks_text(&self) -> Option<Secret> {
        let filled = self.filled(EXPECTED)?;
        let set = serde_json::from_str::<Json>(&filled.text).ok().filter(has_keys);
        let Some(set) = set else {
            // Not as it is written: it may be half a secret.
            let found = "a text that is none".to_owned();
            return self.refuse(MistakeKind::Expected { expected: EXPECTED.to_owned(), found });
        };
        if filled.has_literals && keys(&set).is_some_and(|keys| keys.iter().any(has_secret)) {
            return self.refuse_with(
                MistakeKind::LiteralSecret,
                "take the whole set from a variable, or write it as YAML with `k: \"${NAME}\"`",
            );
        }
        Some(Secret::new(filled.text))
    }
}

fn keys(set: &Json) -> Option<&Vec<Json>> {
    set.get("keys")?.as_array()
}

fn has_keys(set: &Json) -> bool {
    keys(set).is_some_and(|keys| !keys.is_empty())
}

fn has_secret(key: &Json) -> bool {
    SECRET_MEMBERS.iter().any(|name| key.get(name).is_some())
}

/// The value as JSON. A secret one must come from elsewhere.
fn json(node: &Node<'_>, is_secret: bool) -> Option<Json> {
    match node.value() {
        Value::Map(_) => {
            let members = node
                .named()?
                .into_iter()
                .map(|(name, node)| Some((name.to_owned(), json(&node, SECRET_MEMBERS.contains(&name))?)));
            let members: Vec<Option<(String, Json)>> = members.collect();
            Some(Json::Object(members.into_iter().collect::<Option<Map<_, _>>>()?))
        }
        Value::List(_) => Some(Json::Array(node.list(|node| json(node, false))?)),
        _ if is_secret => match String::from_utf8(node.secret()?.expose().to_vec()) {
            Ok(text) => Some(Json::String(text)),
            Err(_) => node.expected("base64url text"),
        },
        Value::Nothing => Some(Json::Null),
        Value::Bool(value) => Some(Json::Bool(*value)),
        // Its spelling is that of JSON, or else it is no number there.
        Value::Number(number) => match serde_json::from_str(number) {
            Ok(number) => Some(number),
            Err(_) => node.expected("a text"),
        },
        Value::Text(_) => Some(Json::String(node.text("a text")?)),
    }
}
