//! Where in a claims object a value stands.

use std::fmt;
use std::str::FromStr;

/// The way to a claim: `sub`, `realm_access.roles`; a name that itself holds a dot or is a URL is
/// written in quotes, `"https://example.com/roles"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimPath {
    segments: Box<[Box<str>]>,
}

/// Why a text is no claim path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidClaimPath {
    /// The text or one of its segments is empty.
    #[error("a claim path has an empty segment")]
    EmptySegment,
    /// A quote opens and never closes, or stands in the midst of a segment.
    #[error("a quote in a claim path must enclose a whole segment")]
    StrayQuote,
}

impl ClaimPath {
    /// A path of one name, taken as it is.
    #[must_use]
    pub fn name(name: &str) -> Self {
        Self { segments: Box::new([name.into()]) }
    }

    /// The names from the outermost object inwards; never empty.
    #[must_use]
    pub fn segments(&self) -> &[Box<str>] {
        &self.segments
    }
}

impl FromStr for ClaimPath {
    type Err = InvalidClaimPath;

    fn from_str(text: &str) -> Result<Self, InvalidClaimPath> {
        let mut segments = Vec::new();
        let mut rest = text;
        loop {
            let (segment, after) = if let Some(quoted) = rest.strip_prefix('"') {
                quoted.split_once('"').ok_or(InvalidClaimPath::StrayQuote)?
            } else {
                rest.split_at(rest.find('.').unwrap_or(rest.len()))
            };
            if segment.is_empty() {
                return Err(InvalidClaimPath::EmptySegment);
            }
            if segment.contains('"') {
                return Err(InvalidClaimPath::StrayQuote);
            }
            segments.push(segment.into());
            if after.is_empty() {
                return Ok(Self { segments: segments.into() });
            }
            rest = after.strip_prefix('.').ok_or(InvalidClaimPath::StrayQuote)?;
        }
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.segments.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            if segment.contains('.') { write!(f, "\"{segment}\"")? } else { f.write_str(segment)? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(text: &str) -> Vec<String> {
        let path: ClaimPath = text.parse().expect("a valid path");
        path.segments().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn dots_part_segments_and_quotes_join_them() {
        assert_eq!(segments("sub"), ["sub"]);
        assert_eq!(segments("realm_access.roles"), ["realm_access", "roles"]);
        assert_eq!(segments("\"https://a.example/x\".y"), ["https://a.example/x", "y"]);
    }

    #[test]
    fn refuses_empty_segments_and_stray_quotes() {
        for text in ["", ".", "a.", ".a", "a..b", "\"\""] {
            assert_eq!(text.parse::<ClaimPath>(), Err(InvalidClaimPath::EmptySegment), "{text:?}");
        }
        for text in ["\"a", "a\"b", "\"a\"b"] {
            assert_eq!(text.parse::<ClaimPath>(), Err(InvalidClaimPath::StrayQuote), "{text:?}");
        }
    }

    #[test]
    fn prints_as_it_is_written() {
        for text in ["sub", "a.b", "\"a.b\".c"] {
            assert_eq!(text.parse::<ClaimPath>().expect("valid").to_string(), text);
        }
    }
}
