//! The second pass: the file's values as they are written, each with its place.

use std::fmt;
use std::slice;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::mistake::MistakeKind;
use super::places::{Mark, Place, Shape};

/// A value of the file, before anything is known about its meaning.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Written {
    /// Where it begins.
    pub(super) place: Place,
    /// What it is.
    pub(super) value: Value,
}

/// What is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Nothing, `~` or `null`.
    Nothing,
    /// `true` or `false`.
    Bool(bool),
    /// A number, in its usual spelling.
    Number(String),
    /// Text, quoted or not.
    Text(String),
    /// A list.
    List(Vec<Written>),
    /// A section: its entries in the order of the file, a repeated key more than once.
    Map(Vec<Entry>),
}

/// One line of a section.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// The key.
    pub(super) key: String,
    /// Where the key stands.
    pub(super) place: Place,
    /// Its value.
    pub(super) value: Written,
}

/// Reads the values of a file whose marks were found.
///
/// # Errors
/// The parsers disagree about what the file says, or this one can't read it.
pub(super) fn read(text: &str, marks: &[Mark]) -> Result<Written, (Place, MistakeKind)> {
    if marks.is_empty() {
        return Ok(Written { place: (1, 1), value: Value::Nothing });
    }
    let mut cursor = Cursor { marks: marks.iter(), last: (1, 1), lost: false };
    let read = Seed(&mut cursor).deserialize(serde_yaml::Deserializer::from_str(text));
    let (lost, last) = (cursor.lost || (read.is_ok() && cursor.marks.len() > 0), cursor.last);
    match read {
        _ if lost => Err((last, MistakeKind::ReadTwoWays)),
        Ok(written) => Ok(written),
        Err(error) => {
            let place = error.location().map_or(last, |at| (at.line(), at.column()));
            Err((place, MistakeKind::Syntax(error.to_string())))
        }
    }
}

/// Both parsers go through the file in the same order, so the next mark is the next value's.
struct Cursor<'m> {
    marks: slice::Iter<'m, Mark>,
    last: Place,
    lost: bool,
}

impl Cursor<'_> {
    fn next<E: Error>(&mut self, shape: Shape) -> Result<Place, E> {
        match self.marks.next() {
            Some(mark) if mark.shape == shape => {
                self.last = mark.place;
                Ok(mark.place)
            }
            _ => {
                self.lost = true;
                Err(E::custom("the parsers disagree"))
            }
        }
    }
}

struct Seed<'c, 'm>(&'c mut Cursor<'m>);

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Written;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Written, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Seed<'_, '_> {
    fn scalar<E: Error>(self, value: Value) -> Result<Written, E> {
        Ok(Written { place: self.0.next(Shape::Scalar)?, value })
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Written, E> {
        self.scalar(Value::Nothing)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Written, E> {
        self.scalar(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Written, E> {
        self.scalar(Value::Number(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Written, E> {
        self.scalar(Value::Number(value.to_string()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Written, E> {
        self.scalar(Value::Number(value.to_string()))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Written, E> {
        self.scalar(Value::Number(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Written, E> {
        self.scalar(Value::Number(value.to_string()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Written, E> {
        self.scalar(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Written, A::Error> {
        let place = self.0.next(Shape::List)?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Seed(self.0))? {
            items.push(item);
        }
        Ok(Written { place, value: Value::List(items) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Written, A::Error> {
        let place = self.0.next(Shape::Map)?;
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<String>()? {
            let key_place = self.0.next(Shape::Scalar)?;
            let mut value = access.next_value_seed(Seed(self.0))?;
            // What is not there stands nowhere: its key is what the writer looks for.
            if value.value == Value::Nothing {
                value.place = key_place;
            }
            entries.push(Entry { key, place: key_place, value });
        }
        Ok(Written { place, value: Value::Map(entries) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::places;
    use super::*;
    use proptest::prelude::*;

    fn written(text: &str) -> Written {
        read(text, &places::find(text).expect("marks")).expect("values")
    }

    fn entries(text: &str) -> Vec<Entry> {
        match written(text).value {
            Value::Map(entries) => entries,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_value_has_the_place_of_its_mark() {
        let entries = entries("a: [x, 5m]\nb:\n  c: 1.20\n");
        assert_eq!(entries[1].place, (2, 1));
        let Value::List(items) = &entries[0].value.value else { panic!("{entries:?}") };
        assert_eq!(items[1], Written { place: (1, 8), value: Value::Text("5m".into()) });
        let Value::Map(inner) = &entries[1].value.value else { panic!("{entries:?}") };
        assert_eq!(inner[0].value, Written { place: (3, 6), value: Value::Number("1.2".into()) });
    }

    #[test]
    fn keeps_repeated_keys_and_reads_any_scalar_as_a_key() {
        let keys: Vec<_> =
            entries("a: 1\na: 2\n3: x\ntrue: y\n").into_iter().map(|entry| entry.key).collect();
        assert_eq!(keys, ["a", "a", "3", "true"]);
    }

    #[test]
    fn a_value_that_is_not_there_has_the_place_of_its_key() {
        assert_eq!(entries("a: 1\nb:\n")[1].value, Written { place: (2, 1), value: Value::Nothing });
    }

    #[test]
    fn marks_of_another_file_are_noticed() {
        let marks = places::find("a: 1\nb: 2").expect("marks");
        for other in ["[a]", "a: 1", "a: 1\nb: 2\nc: 3"] {
            let error = read(other, &marks).expect_err("differs");
            assert_eq!(error.1, MistakeKind::ReadTwoWays, "{other:?}");
        }
    }

    proptest! {
        /// Whatever the two parsers make of a text, it ends in values or in a mistake.
        #[test]
        fn no_text_panics(text in "[a-c:\\-\\[\\]{}, \n\"'|>#&*!%@`?~0-9.é]{0,40}") {
            if let Ok(marks) = places::find(&text) {
                let _ = read(&text, &marks);
            }
        }
    }
}
