//! The first pass: where each value of the file stands.
//!
//! The YAML parser that reads the values keeps no places, so the file's events are read here with another
//! parser. What either parser could be attacked with, or could misunderstand, ends here: aliases, tags,
//! nesting without end.

use saphyr_parser::{Event, Marker, Parser};

use super::mistake::MistakeKind;

/// Deeper than any key of the file, and far from what could exhaust a stack.
const DEEPEST: usize = 32;

/// Line and column in characters, from 1.
pub(super) type Place = (usize, usize);

/// One value or key, in the order in which they begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Where it begins.
    pub(super) place: Place,
    /// What it is.
    pub(super) shape: Shape,
}

/// The three kinds of YAML nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Text, a number, nothing.
    Scalar,
    /// `[…]`, `- …`.
    List,
    /// `{…}`, `key: …`.
    Map,
}

/// Marks every value and key of a file of one document. An empty file has none.
///
/// # Errors
/// Everything that makes the file unfit to be read further, with its place.
pub(super) fn find(text: &str) -> Result<Vec<Mark>, Vec<(Place, MistakeKind)>> {
    let mut pass = Pass::default();
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => {
                if pass.take(&event, place(&span.start)).is_break() {
                    break;
                }
            }
            Err(error) => {
                pass.mistakes.push((place(error.marker()), MistakeKind::Syntax(error.info().to_owned())));
                break;
            }
        }
    }
    if pass.mistakes.is_empty() { Ok(pass.marks) } else { Err(pass.mistakes) }
}

fn place(marker: &Marker) -> Place {
    (marker.line().max(1), marker.col() + 1)
}

#[derive(Default)]
struct Pass {
    marks: Vec<Mark>,
    mistakes: Vec<(Place, MistakeKind)>,
    documents: usize,
    open: Vec<Open>,
}

enum Open {
    List,
    Map { key_is_next: bool },
}

impl Pass {
    fn take(&mut self, event: &Event<'_>, place: Place) -> std::ops::ControlFlow<()> {
        use std::ops::ControlFlow::{Break, Continue};
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.mistakes.push((place, MistakeKind::SecondDocument));
                    return Break(());
                }
            }
            Event::Alias(_) => {
                self.mistakes.push((place, MistakeKind::Alias));
                self.begin(place, Shape::Scalar);
            }
            Event::Scalar(_, _, anchor, tag) => {
                self.refuse_extras(place, *anchor, tag.is_some());
                self.begin(place, Shape::Scalar);
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_extras(place, *anchor, tag.is_some());
                self.begin(place, Shape::List);
                self.open.push(Open::List);
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_extras(place, *anchor, tag.is_some());
                self.begin(place, Shape::Map);
                self.open.push(Open::Map { key_is_next: true });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop();
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        if self.open.len() > DEEPEST {
            self.mistakes.push((place, MistakeKind::TooDeep));
            return Break(());
        }
        Continue(())
    }

    fn refuse_extras(&mut self, place: Place, anchor: usize, tagged: bool) {
        if anchor != 0 {
            self.mistakes.push((place, MistakeKind::Alias));
        }
        if tagged {
            self.mistakes.push((place, MistakeKind::Tag));
        }
    }

    fn begin(&mut self, place: Place, shape: Shape) {
        if let Some(Open::Map { key_is_next }) = self.open.last_mut() {
            if *key_is_next && shape != Shape::Scalar {
                self.mistakes.push((place, MistakeKind::KeyNotText));
            }
            *key_is_next = !*key_is_next;
        }
        self.marks.push(Mark { place, shape });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<(Place, MistakeKind)> {
        find(text).expect_err("a mistake")
    }

    #[test]
    fn marks_keys_and_values_where_they_begin() {
        let marks = find("a:\n  - b\n  - {c: 1}\nd:\n").expect("valid");
        let expected = [
            ((1, 1), Shape::Map),
            ((1, 1), Shape::Scalar),
            ((2, 3), Shape::List),
            ((2, 5), Shape::Scalar),
            ((3, 5), Shape::Map),
            ((3, 6), Shape::Scalar),
            ((3, 9), Shape::Scalar),
            ((4, 1), Shape::Scalar),
        ];
        let found: Vec<_> = marks.iter().map(|mark| (mark.place, mark.shape)).collect();
        assert_eq!(found[..8], expected);
        assert_eq!(found.len(), 9, "the empty value of d");
    }

    #[test]
    fn columns_count_characters() {
        let marks = find("é: [ü, b]").expect("valid");
        assert_eq!(marks.last().map(|mark| mark.place), Some((1, 8)));
    }

    #[test]
    fn an_empty_file_has_no_marks() {
        for text in ["", "\n", "# nothing\n"] {
            assert_eq!(find(text), Ok(vec![]), "{text:?}");
        }
    }

    #[test]
    fn refuses_aliases_tags_and_second_documents() {
        assert_eq!(
            mistakes("a: &x 1\nb: *x\n"),
            [((1, 4), MistakeKind::Alias), ((2, 4), MistakeKind::Alias)]
        );
        assert_eq!(mistakes("a: !!str 1")[0].1, MistakeKind::Tag);
        assert_eq!(mistakes("a: 1\n---\nb: 2")[0], ((2, 1), MistakeKind::SecondDocument));
        assert_eq!(mistakes("[a]: 1")[0], ((1, 1), MistakeKind::KeyNotText));
    }

    #[test]
    fn refuses_nesting_without_end() {
        assert_eq!(
            mistakes(&format!("{}{}", "[".repeat(40), "]".repeat(40)))[0],
            ((1, 33), MistakeKind::TooDeep)
        );
        for piece in ["[", "{a: ", "- ", "? "] {
            assert_ne!(mistakes(&piece.repeat(100_000)), [], "{piece:?}");
        }
    }

    #[test]
    fn a_syntax_error_has_its_place() {
        let (place, kind) = mistakes("a: 1\nb: [1, 2\nc: 3\n").remove(0);
        assert!(matches!(kind, MistakeKind::Syntax(_)), "{kind:?}");
        assert!(place.0 >= 2, "{place:?}");
    }
}
