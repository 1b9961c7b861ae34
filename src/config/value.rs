//! Readers of single values: numbers with a range, durations, sizes, words, paths.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::{Algorithm, ByteSize, ClaimPath, InvalidUnit, Rate, parse_duration};

use super::mistake::{MistakeKind, nearest};
use super::walk::Node;
use super::written::Value;

/// The longest value that is taken for a name, an issuer or an audience.
const LONGEST_TEXT: usize = 1024;

impl Node<'_> {
    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value() {
            Value::Bool(value) => Some(*value),
            Value::Text(_) => self.parse("true or false", |text| text.parse().ok()),
            _ => self.expected("true or false"),
        }
    }

    /// A whole number within a range.
    pub(super) fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let number = match self.value() {
            Value::Number(number) => match number.parse() {
                Ok(number) => number,
                Err(_) => return self.expected("a whole number"),
            },
            // A variable is always text.
            Value::Text(_) => self.parse("a whole number", |text| text.parse().ok())?,
            _ => return self.expected("a whole number"),
        };
        self.within(number, range, ToString::to_string)
    }

    /// A duration within a range.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let duration = self.unit(&InvalidUnit::Duration, parse_duration)?;
        self.within(duration, range, |duration| show_duration(*duration))
    }

    /// A size within a range.
    pub(super) fn size(&self, range: RangeInclusive<ByteSize>) -> Option<ByteSize> {
        let size = self.unit(&InvalidUnit::Size, str::parse::<ByteSize>)?;
        self.within(size, range, ToString::to_string)
    }

    /// How often something may happen.
    pub(super) fn rate(&self) -> Option<Rate> {
        self.unit(&InvalidUnit::Rate, str::parse)
    }

    fn unit<T>(&self, form: &InvalidUnit, parse: impl FnOnce(&str) -> Result<T, InvalidUnit>) -> Option<T> {
        let expected = form.to_string();
        let expected = expected.trim_start_matches("expected ");
        let Value::Text(_) = self.value() else {
            return self.expected(expected);
        };
        match parse(&self.text(expected)?) {
            Ok(value) => Some(value),
            Err(InvalidUnit::TooLarge) => self.refuse(MistakeKind::OutOfRange {
                allowed: InvalidUnit::TooLarge.to_string(),
                found: self.shown(),
            }),
            Err(InvalidUnit::Size | InvalidUnit::Duration | InvalidUnit::Rate) => self.expected(expected),
        }
    }

    fn within<T: PartialOrd>(
        &self,
        value: T,
        range: RangeInclusive<T>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        if range.contains(&value) {
            return Some(value);
        }
        let allowed = format!("{} to {} may stand here", show(range.start()), show(range.end()));
        self.refuse(MistakeKind::OutOfRange { allowed, found: self.shown() })
    }

    /// A text that something makes sense of.
    pub(super) fn parse<T>(&self, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        match parse(&self.text(expected)?) {
            Some(value) => Some(value),
            None => self.expected(expected),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let expected = match words.split_last() {
            Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            _ => words.concat(),
        };
        let given = match self.value() {
            // YAML reads some words as other things: `1.2`, `false`.
            Value::Number(number) => number.clone(),
            Value::Bool(value) => value.to_string(),
            _ => self.text(&expected)?,
        };
        match choices.iter().find(|(word, _)| *word == given) {
            Some((_, value)) => Some(*value),
            None => self.expected(expected),
        }
    }

    /// Text that is not empty, not endless and without control characters.
    pub(super) fn words(&self, expected: &str) -> Option<String> {
        self.parse(expected, |text| {
            let sound = !text.is_empty() && text.len() <= LONGEST_TEXT && !text.contains(char::is_control);
            sound.then(|| text.to_owned())
        })
    }

    /// A file or folder, beside the file unless it is absolute.
    pub(super) fn file_path(&self, expected: &str) -> Option<PathBuf> {
        Some(self.reader().beside(&self.words(expected)?))
    }

    /// `HOST:PORT`, the host as an address.
    pub(super) fn socket_address(&self) -> Option<SocketAddr> {
        let expected = "an address and a port such as 127.0.0.1:8443";
        let text = self.text(expected)?;
        if let Ok(address) = text.parse() {
            return Some(address);
        }
        let kind = MistakeKind::Expected { expected: expected.to_owned(), found: self.shown() };
        if text.starts_with("localhost:") {
            self.refuse_with(kind, "write 127.0.0.1 or [::1] for localhost")
        } else {
            self.refuse(kind)
        }
    }

    /// A signature algorithm.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        let text = self.text("the name of a signature algorithm")?;
        if let Ok(algorithm) = text.parse() {
            return Some(algorithm);
        }
        let kind = MistakeKind::Expected {
            expected: "the name of a signature algorithm".to_owned(),
            found: self.shown(),
        };
        self.refuse_with(kind, nearest(&text, &Algorithm::ALL.map(Algorithm::name), "algorithms"))
    }

    /// The way to a claim.
    pub(super) fn claim_path(&self) -> Option<ClaimPath> {
        let text = self.words("the name of a claim")?;
        match text.parse() {
            Ok(path) => Some(path),
            Err(error) => {
                let kind = MistakeKind::Expected {
                    expected: "the name of a claim such as sub or realm_access.roles".to_owned(),
                    found: self.shown(),
                };
                self.refuse_with(kind, error.to_string())
            }
        }
    }
}

/// Whether a text can name a provider, an upstream or a route: it becomes a label of logs and metrics.
pub(super) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// What [`is_name`] takes.
pub(super) const NAME_EXPECTED: &str = "a name of 1 to 64 letters, digits, \".\", \"-\" and \"_\"";

/// What a section says of parts of the gateway that its writer named: each once, whatever is repeated.
pub(super) fn parts<'r>(node: &Node<'r>) -> Option<Vec<(&'r str, Node<'r>)>> {
    let mut parts: Vec<(&str, Node<'_>)> = Vec::new();
    for (name, part) in node.named()? {
        if parts.iter().any(|(known, _)| *known == name) {
            continue;
        }
        if !is_name(name) {
            let kind =
                MistakeKind::Expected { expected: NAME_EXPECTED.to_owned(), found: format!("{name:?}") };
            part.refuse_key::<()>(kind, None);
        }
        parts.push((name, part));
    }
    Some(parts)
}

/// The largest unit in which the duration is a whole number.
pub(super) fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    for (factor, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if milliseconds >= factor && milliseconds.is_multiple_of(factor) {
            return format!("{}{unit}", milliseconds / factor);
        }
    }
    if milliseconds == 0 { "0s".to_owned() } else { format!("{milliseconds}ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_durations_as_they_are_written() {
        for text in ["0s", "500ms", "1500ms", "90s", "5m", "1h", "30d"] {
            assert_eq!(show_duration(parse_duration(text).expect("valid")), text);
        }
    }

    #[test]
    fn names_are_fit_for_a_label() {
        for name in ["a", "django-1", "a.b_c", &"x".repeat(64)] {
            assert!(is_name(name), "{name:?}");
        }
        for text in ["", "a b", "é", "a\n", "a{b}", &"x".repeat(65)] {
            assert!(!is_name(text), "{text:?}");
        }
    }
}
