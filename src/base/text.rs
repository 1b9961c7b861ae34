//! Text of strangers, made fit for a log line.

use std::fmt;

/// A text from the network, cut to 64 bytes. It prints escaped, so that it can't forge a line.
#[derive(Clone, PartialEq, Eq)]
pub struct ShortText(Box<str>);

impl ShortText {
    const LONGEST: usize = 64;

    /// Cuts at a character's border; invalid UTF-8 is replaced.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let cut = &bytes[..bytes.len().min(Self::LONGEST)];
        let text = String::from_utf8_lossy(cut);
        Self(text.trim_end_matches(char::REPLACEMENT_CHARACTER).into())
    }

    /// The text, cut but not escaped.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_debug())
    }
}

impl fmt::Display for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_cut_at_a_character_and_printed_escaped() {
        let text = ShortText::new("é".repeat(100).as_bytes());
        assert_eq!(text.as_str(), "é".repeat(32));
        assert_eq!(ShortText::new(b"a\n\"b").to_string(), "\"a\\n\\\"b\"");
    }
}
