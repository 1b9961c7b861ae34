//! The walk through the file's values: where we are, what was asked for, and what is wrong.
//!
//! A reader of a section asks for each key that it knows. A mistake is recorded where it is found and the
//! reader goes on, so that one look at the answer shows all of them: what can't be read is `None`, and a `None`
//! never gets into a [`super::Config`], since there is none once a mistake is recorded. So a reader asks for all its keys before
//! it gives up with `?`. When it is done, every key that nobody asked for is unknown: no key is taken and left
//! without effect.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::environment::{self, Filled, Unfilled};
use super::mistake::{Mistake, MistakeKind};
use super::model::Warning;
use super::places::Place;
pub(super) use super::section::Section;
use super::written::{Entry, Value, Written};

/// What all readers share.
pub(super) struct Reader<'r> {
    file: Arc<Path>,
    folder: PathBuf,
    environment: &'r dyn Fn(&str) -> Option<String>,
    mistakes: RefCell<Vec<Mistake>>,
    warnings: RefCell<Vec<Warning>>,
}

impl<'r> Reader<'r> {
    /// For this file; other files that it names are looked for beside it.
    pub(super) fn new(file: &Path, environment: &'r dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            file: file.into(),
            folder: file.parent().unwrap_or(Path::new("")).to_owned(),
            environment,
            mistakes: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// The value that the whole file is.
    pub(super) fn root(&'r self, written: &'r Written) -> Node<'r> {
        Node { reader: self, written, place: written.place, path: String::new() }
    }

    /// A path of the file, seen from where the program runs.
    pub(super) fn beside(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// What a variable of the environment holds, whether or not the file names it.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    /// What was found, in the order in which it was found.
    pub(super) fn finish(self) -> (Vec<Mistake>, Vec<Warning>) {
        (self.mistakes.into_inner(), self.warnings.into_inner())
    }
}

/// One value of the file and the way to it.
#[derive(Clone)]
pub(super) struct Node<'r> {
    reader: &'r Reader<'r>,
    written: &'r Written,
    /// Where to point when something about the whole value is wrong: its key, or else itself.
    place: Place,
    path: String,
}

impl<'r> Node<'r> {
    /// What is written here.
    pub(super) fn value(&self) -> &'r Value {
        &self.written.value
    }

    /// The same, with its place.
    pub(super) fn written(&self) -> &'r Written {
        self.written
    }

    /// The entries of a section; none where it is another value.
    pub(super) fn entries(&self) -> &'r [Entry] {
        match self.value() {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Each of the entries, for who looks at a section that is read afterwards.
    pub(super) fn children(&self) -> Vec<Self> {
        self.entries().iter().map(|entry| self.child(entry)).collect()
    }

    /// The value of a key, for who looks at a section that is read afterwards.
    pub(super) fn peek(&self, key: &str) -> Option<Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| self.child(entry))
    }

    /// Line and column, from 1.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Where it is, as a mistake would say: `gateway.yaml:12:9: issuer.claims.plan`.
    pub(super) fn shown_place(&self) -> String {
        let (line, column) = self.place;
        format!("{}:{line}:{column}: {}", self.reader.file.display(), self.path)
    }

    /// The shared reader.
    pub(super) fn reader(&self) -> &'r Reader<'r> {
        self.reader
    }

    /// Records that this value is wrong.
    pub(super) fn refuse<T>(&self, kind: MistakeKind) -> Option<T> {
        self.record(self.written.place, kind, None)
    }

    /// Records that this value is wrong, and what to do about it.
    pub(super) fn refuse_with<T>(&self, kind: MistakeKind, hint: impl Into<String>) -> Option<T> {
        self.record(self.written.place, kind, Some(hint.into()))
    }

    /// Records that something is wrong with the key's being here, or with what it lacks.
    pub(super) fn refuse_key<T>(&self, kind: MistakeKind, hint: Option<String>) -> Option<T> {
        self.record(self.place, kind, hint)
    }

    fn record<T>(&self, place: Place, kind: MistakeKind, hint: Option<String>) -> Option<T> {
        let mistake =
            Mistake { file: Arc::clone(&self.reader.file), place, path: self.path.clone(), kind, hint };
        self.reader.mistakes.borrow_mut().push(mistake);
        None
    }

    /// Records that the value is of another type or form than it must be.
    pub(super) fn expected<T>(&self, expected: impl Into<String>) -> Option<T> {
        self.refuse(MistakeKind::Expected { expected: expected.into(), found: self.shown() })
    }

    /// Records a remark that stops nothing.
    pub(super) fn warn(&self, message: impl Into<String>) {
        let warning = Warning { place: self.place, path: self.path.clone(), message: message.into() };
        self.reader.warnings.borrow_mut().push(warning);
    }

    /// The value as a mistake shows it: never what a variable holds, and never long.
    pub(super) fn shown(&self) -> String {
        match self.value() {
            Value::Nothing => "nothing".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => format!("the number {number}"),
            Value::Text(text) => shorten(text),
            Value::List(items) if items.is_empty() => "an empty list".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a section".to_owned(),
        }
    }

    /// A text as it stands in the file, for a mistake that names it.
    pub(super) fn as_written(&self) -> String {
        match self.value() {
            Value::Text(text) => shorten_plain(text),
            _ => self.shown(),
        }
    }

    /// The text here with its variables put in. `expected` says what the text should be.
    pub(super) fn text(&self, expected: &str) -> Option<String> {
        Some(self.filled(expected)?.text)
    }

    /// As [`Node::text`], with the knowledge of where the text comes from.
    pub(super) fn filled(&self, expected: &str) -> Option<Filled> {
        let Value::Text(written) = self.value() else {
            if matches!(self.value(), Value::Number(_) | Value::Bool(_)) {
                let kind = MistakeKind::Expected { expected: expected.to_owned(), found: self.shown() };
                return self.refuse_with(kind, "write it in quotes if it is meant as text");
            }
            return self.expected(expected);
        };
        match environment::fill(written, self.reader.environment) {
            Ok(filled) => Some(filled),
            Err(Unfilled::Unknown(name)) => self.refuse_with(
                MistakeKind::UnknownVariable(name.clone()),
                format!("set it, or write ${{{name}:-default}}"),
            ),
            Err(Unfilled::Malformed) => {
                self.refuse_with(MistakeKind::BadSubstitution, "write $${ for a text that holds ${")
            }
        }
    }

    /// The items of a list; one item may stand without brackets.
    pub(super) fn items(&self) -> Vec<Self> {
        let Value::List(items) = self.value() else {
            return vec![self.clone()];
        };
        let item = |(index, written): (usize, &'r Written)| Self {
            reader: self.reader,
            written,
            place: written.place,
            path: format!("{}[{index}]", self.path),
        };
        items.iter().enumerate().map(item).collect()
    }

    /// Reads each item of a list, all of them even if one is wrong.
    pub(super) fn list<T>(&self, read: impl FnMut(&Self) -> Option<T>) -> Option<Vec<T>> {
        let items: Vec<Option<T>> = self.items().iter().map(read).collect();
        items.into_iter().collect()
    }

    /// As [`Node::list`], for a list that must not be empty.
    pub(super) fn filled_list<T>(
        &self,
        expected: &str,
        read: impl FnMut(&Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        if self.items().is_empty() {
            return self.expected(expected);
        }
        self.list(read)
    }

    /// Reads a section by asking for its keys. See the head of this file for the order in which to do it.
    pub(super) fn section<T>(&self, read: impl FnOnce(&Section<'_, 'r>) -> Option<T>) -> Option<T> {
        let entries: &'r [Entry] = match self.value() {
            Value::Map(entries) => entries,
            // All its lines are comments: the defaults, and what is required is missing.
            Value::Nothing => &[],
            _ => return self.expected("a section of keys and values"),
        };
        self.refuse_repeated(entries);
        let section = Section::new(self, entries);
        let result = read(&section);
        section.refuse_unknown();
        result
    }

    /// The entries of a section whose keys are names that the writer chose.
    pub(super) fn named(&self) -> Option<Vec<(&'r str, Self)>> {
        let entries: &'r [Entry] = match self.value() {
            Value::Map(entries) => entries,
            Value::Nothing => &[],
            _ => return self.expected("a section of names and what they stand for"),
        };
        self.refuse_repeated(entries);
        Some(entries.iter().map(|entry| (entry.key.as_str(), self.child(entry))).collect())
    }

    /// The value of one of its entries.
    pub(super) fn child(&self, entry: &'r Entry) -> Self {
        let path = match self.path.as_str() {
            "" => key_shown(&entry.key),
            path => format!("{path}.{}", key_shown(&entry.key)),
        };
        Self { reader: self.reader, written: &entry.value, place: entry.place, path }
    }

    fn refuse_repeated(&self, entries: &'r [Entry]) {
        for (index, entry) in entries.iter().enumerate() {
            if let Some(first) = entries[..index].iter().find(|first| first.key == entry.key) {
                let kind = MistakeKind::DuplicateKey { key: entry.key.clone(), first_line: first.place.0 };
                self.child(entry).refuse_key::<()>(kind, None);
            }
        }
    }
}

const LONGEST_SHOWN: usize = 60;

/// In quotes, escaped, cut.
fn shorten(text: &str) -> String {
    format!("{:?}", shorten_plain(text))
}

pub(super) fn shorten_plain(text: &str) -> String {
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A key within a path: as it is where that is readable, else in quotes.
fn key_shown(key: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-');
    if !key.is_empty() && key.chars().all(plain) && key.chars().count() <= LONGEST_SHOWN {
        key.to_owned()
    } else {
        shorten(key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{places, written};
    use super::*;

    /// What a reader finds wrong in a text.
    fn mistakes(text: &str, read: impl FnOnce(&Node<'_>)) -> Vec<(Place, String, MistakeKind)> {
        let written = written::read(text, &places::find(text).expect("marks")).expect("values");
        let environment = |name: &str| (name == "HELD").then(|| "hunter2".to_owned());
        let reader = Reader::new(Path::new("gateway.yaml"), &environment);
        read(&reader.root(&written));
        let (mistakes, _) = reader.finish();
        mistakes.into_iter().map(|mistake| (mistake.place, mistake.path, mistake.kind)).collect()
    }

    #[test]
    fn a_key_that_nobody_asks_for_is_unknown() {
        let found = mistakes("a: 1\nb: 2\nc: 3\n", |root| {
            root.section(|section| {
                section.key("a");
                section.not_available(&["c"]);
                Some(())
            });
        });
        let expected = [
            ((3, 1), "c".to_owned(), MistakeKind::NotAvailable),
            ((2, 1), "b".to_owned(), MistakeKind::UnknownKey("b".into())),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_repeated_key_is_pointed_at_where_it_stands_again() {
        let found = mistakes("x:\n  a: 1\n  a: 2\n", |root| {
            root.section(|section| {
                section.required("x", |x| x.section(|section| section.key("a").map(drop)))
            });
        });
        let kind = MistakeKind::DuplicateKey { key: "a".into(), first_line: 2 };
        assert_eq!(found, [((3, 3), "x.a".to_owned(), kind)]);
    }

    #[test]
    fn what_is_missing_is_pointed_at_by_the_key_of_its_section() {
        let found = mistakes("x:\n  a: 1\n", |root| {
            root.section(|section| {
                section.required("x", |x| {
                    x.section(|section| {
                        section.key("a");
                        section.required("b", |_| Some(()))
                    })
                })
            });
        });
        assert_eq!(found, [((1, 1), "x".to_owned(), MistakeKind::Missing("b"))]);
    }

    #[test]
    fn a_mistake_shows_the_variable_and_not_what_it_holds() {
        let found = mistakes("${HELD}", |root| {
            let _: Option<()> = root.expected("something else");
        });
        let kind = MistakeKind::Expected { expected: "something else".into(), found: "\"${HELD}\"".into() };
        assert_eq!(found[0].2, kind);
    }

    #[test]
    fn one_item_may_stand_without_brackets() {
        for text in ["a", "[a]"] {
            let found = mistakes(text, |root| {
                assert_eq!(root.list(|item| item.text("text")), Some(vec!["a".to_owned()]));
            });
            assert_eq!(found, []);
        }
    }
}
