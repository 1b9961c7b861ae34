//! Media types and ranges, read and compared as Django REST framework does it.

use percent_encoding::percent_decode_str;

/// In characters; Django REST framework takes a longer text for none of its media types.
pub(super) const LONGEST: usize = 256;

/// A media type or range with its parameters.
pub(super) struct MediaType {
    main: String,
    sub: String,
    parameters: Vec<(String, String)>,
}

impl MediaType {
    /// Takes any text; one without a slash has an empty subtype.
    pub(super) fn parse(text: &str) -> Self {
        let mut parts = split_outside_quotes(text, ';');
        let full = parts.next().unwrap_or_default().trim().to_lowercase();
        let (main, sub) = full.split_once('/').unwrap_or((&full, ""));
        let parameters = parts
            .filter_map(|part| {
                let (name, value) = part.split_once('=')?;
                let (name, value) = (name.trim().to_lowercase(), unquoted(value.trim()));
                Some(match name.strip_suffix('*') {
                    Some(name) => (name.to_owned(), unescaped(&value)),
                    None => (name, value),
                })
            })
            .collect();
        Self { main: main.to_owned(), sub: sub.to_owned(), parameters }
    }

    /// Whether this range has a type in common with one of ours, which has no parameters.
    pub(super) fn overlaps(&self, ours: &str) -> bool {
        let (main, sub) = ours.split_once('/').unwrap_or((ours, ""));
        (self.main == main || self.main == "*") && (self.sub == sub || self.sub == "*")
    }

    /// The value of a parameter, without its quotes.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Header bytes as WSGI hands them to an application.
pub(super) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let parts = c == separator && !quoted;
        match c {
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
        parts
    })
}

fn unquoted(value: &str) -> String {
    match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
        Some(inner) => inner.replace("\\\\", "\\").replace("\\\"", "\""),
        None => value.to_owned(),
    }
}

/// A value with its charset and language before it (RFC 8187, section 3.2); one without them is taken as it is.
fn unescaped(value: &str) -> String {
    match value.splitn(3, '\'').collect::<Vec<_>>()[..] {
        [_, _, text] if !text.contains('\'') => percent_decode_str(text).decode_utf8_lossy().into_owned(),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_overlaps_what_it_names() {
        let overlaps = |range: &str| MediaType::parse(range).overlaps("application/json");
        for range in
            ["application/json", "*/*", "application/*", "*/json", " Application/JSON ; q=0.1", "*/*;q=0"]
        {
            assert!(overlaps(range), "{range}");
        }
        for range in ["", "application", "text/json", "application/xml", "application/vnd.api+json", "*"] {
            assert!(!overlaps(range), "{range}");
        }
    }

    #[test]
    fn parameters_may_be_quoted() {
        let parameter = |text: &str| MediaType::parse(text).parameter("boundary").map(str::to_owned);
        assert_eq!(parameter("a/b; boundary=x"), Some("x".to_owned()));
        assert_eq!(parameter("a/b; c=\"d;boundary=no\"; Boundary=\"x;\\\"y\""), Some("x;\"y".to_owned()));
        assert_eq!(parameter("a/b; c=d; boundary"), None);
        assert_eq!(parameter("a/b; boundary*=utf-8''x%20y"), Some("x y".to_owned()));
        assert_eq!(parameter("a/b; boundary*=x%20y"), Some("x%20y".to_owned()));
    }
}
