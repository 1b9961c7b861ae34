//! An object of which some members are wanted and the rest hardly ever there, such as a token's header.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{Duplicates, Faults, JsonError, ValueSeed, object, read, starts_as_object};

/// The values of the named members, in the order of the names, and the other members.
pub(in crate::jwt) type Apart<const N: usize> = ([Option<Value>; N], Map<String, Value>);

/// As [`object`], with the values of the members that have one of `names` apart from the rest. A text that has hardly
/// any other member is read without a map.
pub(in crate::jwt) fn object_apart<const N: usize>(
    text: &[u8],
    nesting: usize,
    names: [&'static str; N],
) -> Result<Apart<N>, JsonError> {
    if !starts_as_object(text) {
        // Read to its end, since what is no JSON at all is told apart.
        return object(text, nesting).map(|rest| ([const { None }; N], rest));
    }
    let faults = Faults::default();
    let inner = ValueSeed { depth: nesting, faults: &faults, duplicates: Duplicates::Refuse };
    read(text, ApartSeed { names, value: inner }, &faults)
}

/// Reads an object, certain members apart.
struct ApartSeed<'f, const N: usize> {
    names: [&'static str; N],
    value: ValueSeed<'f>,
}

impl<'de, const N: usize> DeserializeSeed<'de> for ApartSeed<'_, N> {
    type Value = Apart<N>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for ApartSeed<'_, N> {
    type Value = Apart<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let inner = self.value.inner()?;
        let (mut apart, mut rest) = ([const { None }; N], Map::new());
        while let Some(name) = object.next_key_seed(NameSeed(self.names))? {
            let replaced = match name {
                Name::Known(at) => apart[at].replace(object.next_value_seed(inner)?),
                Name::Other(name) => rest.insert(name, object.next_value_seed(inner)?),
            };
            if replaced.is_some() {
                return Err(inner.faults.raise(JsonError::DuplicateMember));
            }
        }
        Ok((apart, rest))
    }
}

/// Reads a member's name, which is only kept if it is none of these.
struct NameSeed<const N: usize>([&'static str; N]);

enum Name {
    Known(usize),
    Other(String),
}

impl<'de, const N: usize> DeserializeSeed<'de> for NameSeed<N> {
    type Value = Name;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<const N: usize> Visitor<'_> for NameSeed<N> {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        let known = self.0.iter().position(|known| *known == name);
        Ok(known.map_or_else(|| Name::Other(name.to_owned()), Name::Known))
    }
}
