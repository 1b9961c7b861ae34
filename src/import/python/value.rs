//! What is known of a value without running anything.

use std::path::PathBuf;
use std::time::Duration;

/// Keeps every later sum within range.
pub(super) const LONGEST: f64 = 100.0 * 365.0 * 86_400.0;

/// A value and the line where it is written.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::import) struct Located {
    pub(in crate::import) line: u32,
    pub(in crate::import) value: Known,
}

/// What is known of a value.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::import) enum Known {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// A list, tuple or set.
    List(Vec<Located>),
    Dict(Vec<(Located, Located)>),
    /// A `timedelta`.
    Duration(Duration),
    /// A path, absolute if the settings file's own is.
    Path(PathBuf),
    /// What is in a file.
    Content(PathBuf),
    /// What a variable of the environment holds.
    Variable {
        name: String,
        default: Option<Box<Known>>,
    },
    /// A database by its URL in a variable of the environment.
    DatabaseUrl(String),
    /// Not to be known; why.
    Unknown(String),
}

impl Located {
    pub(in crate::import) fn text(&self) -> Option<&str> {
        match &self.value {
            Known::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The texts of a list or of one text alone.
    pub(in crate::import) fn texts(&self) -> Option<Vec<&str>> {
        match &self.value {
            Known::Text(text) => Some(vec![text]),
            Known::List(items) => items.iter().map(Self::text).collect(),
            _ => None,
        }
    }

    /// The last value of a key.
    pub(in crate::import) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Known::Dict(entries) => {
                entries.iter().rev().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// How much of it there is, in small pieces.
    pub(super) fn pieces(&self) -> usize {
        let inner = match &self.value {
            Known::List(items) => items.iter().map(Self::pieces).sum(),
            Known::Dict(entries) => entries.iter().map(|(key, value)| key.pieces() + value.pieces()).sum(),
            Known::Text(text) | Known::Unknown(text) => text.len() / 64,
            _ => 0,
        };
        1 + inner
    }
}

pub(super) fn unknown(why: impl Into<String>) -> Known {
    Known::Unknown(why.into())
}

pub(super) fn combined(left: Known, operator: &str, right: Known) -> Known {
    let number = |number: Option<i64>| number.map_or_else(|| unknown("the number is too large"), Known::Int);
    match (left, operator, right) {
        (Known::Int(left), "+", Known::Int(right)) => number(left.checked_add(right)),
        (Known::Int(left), "-", Known::Int(right)) => number(left.checked_sub(right)),
        (Known::Int(left), "*", Known::Int(right)) => number(left.checked_mul(right)),
        (Known::Text(left), "+", Known::Text(right)) => Known::Text([left, right].concat()),
        (Known::List(mut left), "+", Known::List(right)) => {
            left.extend(right);
            Known::List(left)
        }
        (Known::Dict(mut left), "|", Known::Dict(right)) => {
            left.extend(right);
            Known::Dict(left)
        }
        (Known::Duration(left), "+", Known::Duration(right)) => Known::Duration(left.saturating_add(right)),
        (Known::Duration(duration), "*", Known::Int(times))
        | (Known::Int(times), "*", Known::Duration(duration)) => {
            let product = u32::try_from(times).ok().and_then(|times| duration.checked_mul(times));
            match product.filter(|product| product.as_secs_f64() <= LONGEST) {
                Some(product) => Known::Duration(product),
                None => unknown("no such timedelta can be a lifetime"),
            }
        }
        (Known::Path(path), "/", Known::Text(text)) => Known::Path(path.join(text)),
        (Known::Unknown(why), ..) | (_, _, Known::Unknown(why)) => Known::Unknown(why),
        _ => unknown("only running the file would tell its value"),
    }
}
