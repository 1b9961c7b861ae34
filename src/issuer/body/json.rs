//! JSON as Python's `json` reads it, with its wording when it does not.
//!
//! Clients show that wording, and some match on it. It also takes what stricter readers refuse: of two members
//! of one name the last counts. That is harmless here, since nobody reads the body but this.
//!
//! The functions follow Python 3.11's `_json.c` branch by branch and count in characters, as its messages do.

use std::fmt;

use super::charset::Charset;
use super::{Input, Text};

/// Deeper bodies are refused. Python gives up at its recursion limit, about 1000, with an uncaught error.
const DEEPEST: usize = 500;
/// Python's `sys.int_info.default_max_str_digits`.
const MOST_DIGITS: usize = 4_300;

/// What a body is.
pub(super) enum Document {
    Object(Vec<(String, Input)>),
    Null,
    /// Something else; Python's name for its type.
    Other(&'static str),
}

/// Why a text is no JSON, in Python's words.
#[cfg_attr(test, derive(Debug))]
pub(super) struct JsonError(String);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) fn parse(body: &[u8], charset: Charset) -> Result<Document, JsonError> {
    let text = charset.decode(body).map_err(JsonError)?;
    let chars: Vec<char> = text.chars().collect();
    let scanner = Scanner { chars: &chars };
    if chars.first() == Some(&'\u{feff}') {
        return Err(scanner.error("Unexpected UTF-8 BOM (decode using utf-8-sig)", 0));
    }
    let (value, end) = scanner.value(scanner.blanks(0), 0)?;
    let end = scanner.blanks(end);
    if end != chars.len() {
        return Err(scanner.error("Extra data", end));
    }
    Ok(match value {
        Value::Object(members) => Document::Object(
            members.into_iter().map(|(name, value)| (name.text, value.into_input())).collect(),
        ),
        Value::Null => Document::Null,
        Value::Bool => Document::Other("bool"),
        Value::Integer(_) => Document::Other("int"),
        Value::Float(_) => Document::Other("float"),
        Value::Text(_) => Document::Other("str"),
        Value::List => Document::Other("list"),
    })
}

enum Value {
    Null,
    Bool,
    /// As Python prints it.
    Integer(String),
    /// As Python prints it.
    Float(String),
    Text(Text),
    List,
    /// Members of inner objects are read and dropped.
    Object(Vec<(Text, Value)>),
}

impl Value {
    fn into_input(self) -> Input {
        match self {
            Self::Null => Input::Null,
            Self::Integer(text) | Self::Float(text) => text.into(),
            Self::Text(text) => Input::Text(text),
            Self::Bool | Self::List | Self::Object(_) => Input::NotText,
        }
    }
}

struct Scanner<'t> {
    chars: &'t [char],
}

/// A value and the place behind it.
type Scanned<T> = Result<(T, usize), JsonError>;

impl Scanner<'_> {
    fn at(&self, index: usize) -> Option<char> {
        self.chars.get(index).copied()
    }

    /// The first place from `index` on that is no white space.
    fn blanks(&self, index: usize) -> usize {
        let blank = |c: &&char| matches!(c, ' ' | '\t' | '\n' | '\r');
        index + self.chars.get(index..).unwrap_or_default().iter().take_while(blank).count()
    }

    fn error(&self, message: &str, index: usize) -> JsonError {
        let before = &self.chars[..index.min(self.chars.len())];
        let line = 1 + before.iter().filter(|c| **c == '\n').count();
        let column = match before.iter().rposition(|c| *c == '\n') {
            Some(line_end) => index - line_end,
            None => index + 1,
        };
        JsonError(format!("{message}: line {line} column {column} (char {index})"))
    }

    fn starts_with(&self, index: usize, word: &str) -> bool {
        word.chars().enumerate().all(|(offset, c)| self.at(index + offset) == Some(c))
    }

    fn value(&self, index: usize, depth: usize) -> Scanned<Value> {
        for (word, value) in [("null", Value::Null), ("true", Value::Bool), ("false", Value::Bool)] {
            if self.starts_with(index, word) {
                return Ok((value, index + word.len()));
            }
        }
        for word in ["NaN", "Infinity", "-Infinity"] {
            if self.starts_with(index, word) {
                return Err(JsonError(format!("Out of range float values are not JSON compliant: '{word}'")));
            }
        }
        match self.at(index) {
            Some('"') => self.string(index + 1).map(|(text, end)| (Value::Text(text), end)),
            Some('{' | '[') if depth == DEEPEST => Err(self.error("Nested too deeply", index)),
            Some('{') => self.object(index + 1, depth),
            Some('[') => self.list(index + 1, depth),
            Some('-' | '0'..='9') => self.number(index),
            _ => Err(self.error("Expecting value", index)),
        }
    }

    /// From behind the brace.
    fn object(&self, index: usize, depth: usize) -> Scanned<Value> {
        let mut members = Vec::new();
        let mut index = self.blanks(index);
        if self.at(index) == Some('}') {
            return Ok((Value::Object(members), index + 1));
        }
        loop {
            if self.at(index) != Some('"') {
                return Err(self.error("Expecting property name enclosed in double quotes", index));
            }
            let (name, end) = self.string(index + 1)?;
            index = self.blanks(end);
            if self.at(index) != Some(':') {
                return Err(self.error("Expecting ':' delimiter", index));
            }
            let (value, end) = self.value(self.blanks(index + 1), depth + 1)?;
            if depth == 0 {
                members.push((name, value));
            }
            index = self.blanks(end);
            match self.at(index) {
                Some('}') => return Ok((Value::Object(members), index + 1)),
                Some(',') => index = self.blanks(index + 1),
                _ => return Err(self.error("Expecting ',' delimiter", index)),
            }
        }
    }

    /// From behind the bracket.
    fn list(&self, index: usize, depth: usize) -> Scanned<Value> {
        let mut index = self.blanks(index);
        if self.at(index) == Some(']') {
            return Ok((Value::List, index + 1));
        }
        loop {
            let (_, end) = self.value(index, depth + 1)?;
            index = self.blanks(end);
            match self.at(index) {
                Some(']') => return Ok((Value::List, index + 1)),
                Some(',') => index = self.blanks(index + 1),
                _ => return Err(self.error("Expecting ',' delimiter", index)),
            }
        }
    }

    fn number(&self, start: usize) -> Scanned<Value> {
        let digits = |index: usize| {
            let rest = self.chars.get(index..).unwrap_or_default();
            index + rest.iter().take_while(|c| c.is_ascii_digit()).count()
        };
        let first = start + usize::from(self.at(start) == Some('-'));
        let mut end = match self.at(first) {
            Some('0') => first + 1,
            Some('1'..='9') => digits(first),
            _ => return Err(self.error("Expecting value", start)),
        };
        let mut is_float = false;
        if self.at(end) == Some('.') && digits(end + 1) > end + 1 {
            is_float = true;
            end = digits(end + 1);
        }
        if matches!(self.at(end), Some('e' | 'E')) {
            let exponent = end + 1 + usize::from(matches!(self.at(end + 1), Some('+' | '-')));
            if digits(exponent) > exponent {
                is_float = true;
                end = digits(exponent);
            }
        }
        let text: String = self.chars[start..end].iter().collect();
        if is_float {
            // Such a text is a number to Rust too; beyond the range it is infinite, as in Python.
            return Ok((Value::Float(python_float(text.parse().unwrap_or(f64::NAN))), end));
        }
        let count = end - first;
        if count > MOST_DIGITS {
            return Err(JsonError(format!(
                "Exceeds the limit ({MOST_DIGITS} digits) for integer string conversion: value has {count} \
                 digits; use sys.set_int_max_str_digits() to increase the limit"
            )));
        }
        Ok((Value::Integer(if text == "-0" { "0".to_owned() } else { text }), end))
    }

    /// From behind the quote.
    fn string(&self, start: usize) -> Scanned<Text> {
        let mut read = Text::default();
        let mut index = start;
        let unterminated = || self.error("Unterminated string starting at", start - 1);
        loop {
            let c = self.at(index).ok_or_else(unterminated)?;
            index += 1;
            match c {
                '"' => return Ok((read, index)),
                '\\' => {}
                '\0'..='\x1f' => return Err(self.error("Invalid control character at", index - 1)),
                _ => {
                    read.text.push(c);
                    continue;
                }
            }
            let escape = index;
            index += 1;
            let c = match self.at(escape).ok_or_else(unterminated)? {
                c @ ('"' | '\\' | '/') => c,
                'b' => '\x08',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let (unit, end) = self.code_unit(escape + 1)?;
                    index = end;
                    match unit {
                        0xd800..=0xdbff => match self.low_surrogate(end)? {
                            Some((low, end)) => {
                                index = end;
                                joined(unit, low)
                            }
                            None => read.lone(unit),
                        },
                        0xdc00..=0xdfff => read.lone(unit),
                        _ => char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER),
                    }
                }
                _ => return Err(self.error("Invalid \\escape", escape - 1)),
            };
            read.text.push(c);
        }
    }

    /// Four hexadecimal digits, which must not be the last characters of all.
    fn code_unit(&self, start: usize) -> Scanned<u16> {
        let end = start + 4;
        let unit = self.chars.get(start..end).filter(|_| end < self.chars.len()).and_then(|digits| {
            digits
                .iter()
                .try_fold(0u16, |unit, digit| Some(unit << 4 | u16::try_from(digit.to_digit(16)?).ok()?))
        });
        match unit {
            Some(unit) => Ok((unit, end)),
            None => Err(self.error("Invalid \\uXXXX escape", start - 1)),
        }
    }

    /// The second half of a pair, if one follows.
    fn low_surrogate(&self, index: usize) -> Result<Option<(u16, usize)>, JsonError> {
        if index + 6 >= self.chars.len() || !self.starts_with(index, "\\u") {
            return Ok(None);
        }
        let (unit, end) = self.code_unit(index + 2)?;
        Ok((0xdc00..=0xdfff).contains(&unit).then_some((unit, end)))
    }
}

impl Text {
    fn lone(&mut self, surrogate: u16) -> char {
        self.surrogate.get_or_insert(surrogate);
        char::REPLACEMENT_CHARACTER
    }
}

fn joined(high: u16, low: u16) -> char {
    char::decode_utf16([high, low]).next().and_then(Result::ok).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// `repr` of a float: the shortest digits, an exponent of two digits or more below 1e-4 and from 1e16 on.
fn python_float(value: f64) -> String {
    if !value.is_finite() {
        return if value < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value == 0.0 || (-4..16).contains(&exponent) {
        return format!("{value:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests;
