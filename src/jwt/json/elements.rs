//! A list whose elements are judged one by one, such as the keys of a JWK set.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{Duplicates, Faults, JsonError, ValueSeed, read, starts_as_object};

/// One element of a list whose elements are judged one by one.
#[derive(Debug, PartialEq)]
pub(in crate::jwt) struct Element {
    pub(in crate::jwt) value: Value,
    /// An object within it has two members of one name; `value` holds the last.
    pub(in crate::jwt) duplicate: bool,
}

/// Reads the list that the outermost object has under `name`. A duplicate member spoils only the element that
/// it stands in; `None` if there is no such list.
pub(in crate::jwt) fn elements(
    text: &[u8],
    name: &str,
    nesting: usize,
) -> Result<Option<Vec<Element>>, JsonError> {
    if !starts_as_object(text) {
        return Err(JsonError::NotAnObject);
    }
    let faults = Faults::default();
    read(text, ListSeed { name, depth: nesting, faults: &faults }, &faults)
}

/// Reads the list under one name of the outermost object and passes over the rest.
struct ListSeed<'f> {
    name: &'f str,
    depth: usize,
    faults: &'f Faults,
}

impl<'de> DeserializeSeed<'de> for ListSeed<'_> {
    type Value = Option<Vec<Element>>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ListSeed<'_> {
    type Value = Option<Vec<Element>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let member = ValueSeed {
            depth: self.depth.saturating_sub(1),
            faults: self.faults,
            duplicates: Duplicates::Note,
        };
        let mut list = None;
        while let Some(name) = object.next_key::<String>()? {
            if name != self.name {
                object.next_value_seed(member)?;
                continue;
            }
            if list.is_some() {
                return Err(self.faults.raise(JsonError::DuplicateMember));
            }
            list = Some(object.next_value_seed(ElementsSeed(member))?);
        }
        Ok(list)
    }
}

struct ElementsSeed<'f>(ValueSeed<'f>);

impl<'de> DeserializeSeed<'de> for ElementsSeed<'_> {
    type Value = Vec<Element>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ElementsSeed<'_> {
    type Value = Vec<Element>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let seed = self.0.inner()?;
        let mut elements = Vec::new();
        seed.faults.duplicate.set(false);
        while let Some(value) = sequence.next_element_seed(seed)? {
            elements.push(Element { value, duplicate: seed.faults.duplicate.replace(false) });
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_is_judged_element_by_element() {
        let text = br#"{"x":{"a":1,"a":2},"keys":[{"a":1},{"a":1,"a":2},7,{"b":{}}],"y":0}"#;
        let list = elements(text, "keys", 16).unwrap().unwrap();
        assert_eq!(
            list.iter().map(|element| element.duplicate).collect::<Vec<_>>(),
            [false, true, false, false]
        );
        assert_eq!(list[2].value, json!(7));
        assert_eq!(elements(b"{\"x\":[]}", "keys", 16), Ok(None));
        assert_eq!(elements(b"[]", "keys", 16), Err(JsonError::NotAnObject));
        assert_eq!(elements(b"{\"keys\":[],\"keys\":[]}", "keys", 16), Err(JsonError::DuplicateMember));
        assert_eq!(elements(b"{\"keys\":{}}", "keys", 16), Err(JsonError::Syntax));
    }
}
