//! Strict JSON: what `serde_json` takes, less the texts that two parsers could read differently.
//!
//! `serde_json` keeps the last of two members with one name; another parser keeps the first. Whoever signs
//! a token that the gateway and the upstream read differently has two identities (RFC 8725, section 2.4;
//! RFC 7515, section 4). Such a text is refused here, at any depth, and so is one nested deeper than anything
//! a token needs.

mod apart;
mod elements;

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

pub(super) use apart::object_apart;
pub(super) use elements::{Element, elements};

/// Why a text is no strict JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonError {
    /// Not UTF-8.
    Utf8,
    /// No JSON, or a number beyond the range of a 64-bit float.
    Syntax,
    /// JSON, but of another type.
    NotAnObject,
    /// Two members of one object have the same name.
    DuplicateMember,
    /// Arrays and objects within one another beyond the limit.
    TooDeep,
}

/// Reads an object. `nesting` counts the object itself.
pub(super) fn object(text: &[u8], nesting: usize) -> Result<Map<String, Value>, JsonError> {
    let faults = Faults::default();
    let value =
        read(text, ValueSeed { depth: nesting, faults: &faults, duplicates: Duplicates::Refuse }, &faults)?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(JsonError::NotAnObject),
    }
}

fn starts_as_object(text: &[u8]) -> bool {
    text.trim_ascii_start().first() == Some(&b'{')
}

fn read<'t, S: DeserializeSeed<'t>>(text: &'t [u8], seed: S, faults: &Faults) -> Result<S::Value, JsonError> {
    let text = std::str::from_utf8(text).map_err(|_| JsonError::Utf8)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value =
        seed.deserialize(&mut deserializer).map_err(|_| faults.first.get().unwrap_or(JsonError::Syntax))?;
    deserializer.end().map_err(|_| JsonError::Syntax)?;
    Ok(value)
}

/// What a seed found, beside serde's error, which carries only text.
#[derive(Default)]
struct Faults {
    first: Cell<Option<JsonError>>,
    /// For [`Duplicates::Note`].
    duplicate: Cell<bool>,
}

impl Faults {
    fn raise<E: de::Error>(&self, fault: JsonError) -> E {
        self.first.set(Some(fault));
        E::custom("refused")
    }
}

#[derive(Clone, Copy)]
enum Duplicates {
    Refuse,
    Note,
}

/// Reads any value, `depth` levels of arrays and objects deep.
#[derive(Clone, Copy)]
struct ValueSeed<'f> {
    depth: usize,
    faults: &'f Faults,
    duplicates: Duplicates,
}

impl ValueSeed<'_> {
    fn inner<E: de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => Err(self.faults.raise(JsonError::TooDeep)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element_seed(inner)? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            let value = object.next_value_seed(inner)?;
            if members.insert(name, value).is_some() {
                match self.duplicates {
                    Duplicates::Refuse => return Err(self.faults.raise(JsonError::DuplicateMember)),
                    Duplicates::Note => self.faults.duplicate.set(true),
                }
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_serde_json_reads() {
        let text = r#"{"a":[1,-2,0.5,1e3,true,null,"é\u00e9\n"],"b":{"c":{}},"z":18446744073709551615}"#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(object(text.as_bytes(), 16).map(Value::Object), Ok(expected));
    }

    #[test]
    fn refuses_two_members_of_one_name_at_any_depth() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"b":2,"a":3}}"#,
            r#"{"x":[[{"a":1,"a":3}]]}"#,
        ] {
            assert_eq!(object(text.as_bytes(), 16), Err(JsonError::DuplicateMember), "{text}");
        }
    }

    #[test]
    fn refuses_deep_nesting_before_the_stack_notices() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(object(nested(16).as_bytes(), 16).is_ok());
        assert_eq!(object(nested(17).as_bytes(), 16), Err(JsonError::TooDeep));
        assert_eq!(object("[".repeat(1 << 20).as_bytes(), 16), Err(JsonError::TooDeep));
    }

    #[test]
    fn refuses_what_is_no_object_and_what_is_no_json() {
        for text in ["[1,2]", "\"a\"", "1", "null", "true"] {
            assert_eq!(object(text.as_bytes(), 16), Err(JsonError::NotAnObject), "{text}");
        }
        for text in [
            "",
            "{a",
            "{} {}",
            "{\"a\":1,}",
            "{\"a\":NaN}",
            "{\"a\":1e999}",
            "{\"a\":\"\\ud800\"}",
            "\u{feff}{}",
        ] {
            assert_eq!(object(text.as_bytes(), 16), Err(JsonError::Syntax), "{text}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}", 16), Err(JsonError::Utf8));
    }

    proptest! {
        #[test]
        fn what_it_takes_serde_json_reads_alike(text in "[\\[\\]{}:,\"a0-9.eE+\\-tru ]{0,40}") {
            if let Ok(members) = object(text.as_bytes(), 16) {
                prop_assert_eq!(Value::Object(members), serde_json::from_str::<Value>(&text).unwrap());
            }
        }

        #[test]
        fn members_read_apart_are_those_of_the_whole_object(
            text in "\\{(\"(a|b|c|\\\\u0061)\":(1|\"x\"|\\[\\]|\\{\"a\":1\\}|\\{\"a\":1,\"a\":2\\}|x),?){0,4}\\}?"
        ) {
            let apart = object_apart(text.as_bytes(), 3, ["a", "b"]).map(|([a, b], mut rest)| {
                rest.extend(a.map(|value| ("a".to_owned(), value)));
                rest.extend(b.map(|value| ("b".to_owned(), value)));
                rest
            });
            prop_assert_eq!(apart, object(text.as_bytes(), 3));
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = object(&bytes, 16);
            let _ = elements(&bytes, "keys", 16);
            let _ = object_apart(&bytes, 16, ["a"]);
        }
    }
}
