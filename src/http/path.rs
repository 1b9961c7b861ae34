//! One reading of a path for everybody: the router matches it, the upstream gets it.
//!
//! Servers differ in how they read `%2e%2e`, `//`, `\`, `%2f` or `;`. Where the gateway's reading and the
//! upstream's part, a protected path can be reached under a name that the router takes for an open one. So a
//! path is brought into one form here (RFC 3986, section 6.2.2), and what servers read differently is refused
//! unless the route names it.

use std::borrow::Cow;

use crate::base::ReasonCode;

/// A path that every reader understands alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalPath<'p> {
    forwarded: Cow<'p, str>,
    key: Option<String>,
    oddities: Oddities,
}

/// What is in a path that only some applications use. Refused unless the route lets it through by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities {
    /// `%2F`, `\` or `%5C`.
    pub encoded_slash: bool,
    /// `%25` before two hexadecimal digits.
    pub double_encoding: bool,
    /// `;` in a segment.
    pub parameters: bool,
}

/// The path can't be read in one way only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmbiguousPath {
    /// It does not begin with `/`.
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    /// `%` without two hexadecimal digits.
    #[error("a percent sign without two hexadecimal digits")]
    BadEscape,
    /// `%00`.
    #[error("an encoded NUL")]
    Nul,
    /// The decoded bytes are no UTF-8.
    #[error("the decoded path is not UTF-8")]
    NotUtf8,
    /// `..;`, `..%2f` and the like, which some servers read as a step upwards.
    #[error("a disguised dot segment")]
    DisguisedDotSegment,
}

impl AmbiguousPath {
    /// The word for log and metric.
    #[must_use]
    pub const fn reason(self) -> ReasonCode {
        ReasonCode::AmbiguousPath
    }
}

impl NormalPath<'_> {
    /// What goes to the upstream.
    #[must_use]
    pub fn forwarded(&self) -> &str {
        &self.forwarded
    }

    /// The key and the rewritten path, each `None` where the path came in its normal form.
    #[must_use]
    pub fn into_key_and_rewritten(self) -> (Option<String>, Option<String>) {
        match self.forwarded {
            Cow::Borrowed(_) => (self.key, None),
            Cow::Owned(path) => (self.key, Some(path)),
        }
    }

    /// What the router compares: the forwarded path decoded once, so that `/%40me` and `/@me` are one route.
    /// `%2F`, `%5C` and `%25` stay as they are.
    #[must_use]
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or(&self.forwarded)
    }

    /// What the route must allow by name.
    #[must_use]
    pub fn oddities(&self) -> Oddities {
        self.oddities
    }
}

/// Brings a path (without its query) into its one form.
///
/// Percent-encoded unreserved characters are decoded, then dot segments resolved and doubled slashes joined.
///
/// # Errors
/// [`AmbiguousPath`] for what no server should have to guess.
pub fn normalize(path: &str) -> Result<NormalPath<'_>, AmbiguousPath> {
    if !path.starts_with('/') {
        return Err(AmbiguousPath::NotAbsolute);
    }
    if is_plainly_normal(path.as_bytes()) {
        return Ok(NormalPath { forwarded: path.into(), key: None, oddities: Oddities::default() });
    }
    let (decoded, oddities) = decode_unreserved(path.as_bytes())?;
    let forwarded = resolve_segments(&decoded);
    refuse_disguised_dots(&forwarded, oddities)?;
    let key = decode_for_matching(&forwarded)?;
    Ok(NormalPath { forwarded: forwarded.into(), key: Some(key), oddities })
}

/// Nearly every real path: nothing to decode, resolve or refuse.
fn is_plainly_normal(path: &[u8]) -> bool {
    let mut previous = 0;
    path.iter().all(|&byte| {
        let plain = match byte {
            b'%' | b';' | b'\\' => false,
            // `/.well-known` is plain, but too rare to tell apart here.
            b'/' | b'.' => previous != b'/',
            _ => byte.is_ascii(),
        };
        previous = byte;
        plain
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn escape_at(path: &[u8], at: usize) -> Option<u8> {
    Some(hex(*path.get(at + 1)?)? << 4 | hex(*path.get(at + 2)?)?)
}

fn push_escape(text: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push('%');
    text.push(char::from(DIGITS[usize::from(byte >> 4)]));
    text.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// Decodes unreserved characters, writes other escapes in capitals and raw bytes beyond ASCII as escapes.
fn decode_unreserved(path: &[u8]) -> Result<(String, Oddities), AmbiguousPath> {
    let mut text = String::with_capacity(path.len());
    let mut oddities = Oddities::default();
    let mut at = 0;
    while at < path.len() {
        let byte = path[at];
        if byte != b'%' {
            oddities.encoded_slash |= byte == b'\\';
            oddities.parameters |= byte == b';';
            if byte.is_ascii() {
                text.push(char::from(byte));
            } else {
                push_escape(&mut text, byte);
            }
            at += 1;
            continue;
        }
        match escape_at(path, at).ok_or(AmbiguousPath::BadEscape)? {
            0 => return Err(AmbiguousPath::Nul),
            byte @ (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~') => {
                text.push(char::from(byte));
            }
            byte => {
                oddities.encoded_slash |= matches!(byte, b'/' | b'\\');
                oddities.double_encoding |= byte == b'%' && reads_as_escape(path, at + 3);
                push_escape(&mut text, byte);
            }
        }
        at += 3;
    }
    Ok((text, oddities))
}

/// Whether what follows a decoded percent sign makes an escape of it once more. The digits may be escaped
/// themselves: `%25%32%65` is `%252e`.
fn reads_as_escape(path: &[u8], mut at: usize) -> bool {
    for _ in 0..2 {
        let digit = match path.get(at) {
            Some(b'%') => {
                let Some(byte) = escape_at(path, at) else { return false };
                at += 3;
                byte
            }
            Some(byte) => {
                at += 1;
                *byte
            }
            None => return false,
        };
        if !digit.is_ascii_hexdigit() {
            return false;
        }
    }
    true
}

/// RFC 3986, section 5.2.4, then empty segments dropped.
fn resolve_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    let mut ends_in_slash = false;
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => ends_in_slash = last,
            ".." => {
                kept.pop();
                ends_in_slash = last;
            }
            _ => kept.push(segment),
        }
    }
    ends_in_slash |= kept.last() == Some(&"");
    let mut resolved = String::with_capacity(path.len());
    for segment in kept.into_iter().filter(|segment| !segment.is_empty()) {
        resolved.push('/');
        resolved.push_str(segment);
    }
    if ends_in_slash || resolved.is_empty() {
        resolved.push('/');
    }
    resolved
}

/// No permission of a route makes `..;x`, `..%2f` or `..%252f` harmless: servers that cut parameters, decode slashes
/// or decode twice then climb. `..%3b` is one of them to servers that decode first and cut then.
fn refuse_disguised_dots(path: &str, oddities: Oddities) -> Result<(), AmbiguousPath> {
    if oddities == Oddities::default() && !path.contains("%3B") {
        return Ok(());
    }
    let unmasked = decode_percent_signs(&path.to_ascii_uppercase());
    let unmasked = unmasked.replace("%2F", "/").replace("%5C", "/").replace('\\', "/");
    let disguised = unmasked.replace("%3B", ";").replace("%2E", ".").split('/').any(|segment| {
        let name = segment.split(';').next().unwrap_or(segment);
        name == "." || name == ".."
    });
    if disguised { Err(AmbiguousPath::DisguisedDotSegment) } else { Ok(()) }
}

/// `%25` and `%2525` alike become `%`: in one pass, since a path may hold thousands of them.
fn decode_percent_signs(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        while let Some(after) = rest.strip_prefix("25") {
            rest = after;
        }
    }
    decoded.push_str(rest);
    decoded
}

fn decode_for_matching(path: &str) -> Result<String, AmbiguousPath> {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'%' {
            decoded.push(bytes[at]);
            at += 1;
            continue;
        }
        match escape_at(bytes, at).ok_or(AmbiguousPath::BadEscape)? {
            b'/' | b'\\' | b'%' => decoded.extend_from_slice(&bytes[at..at + 3]),
            byte => decoded.push(byte),
        }
        at += 3;
    }
    String::from_utf8(decoded).map_err(|_| AmbiguousPath::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn forwarded(path: &str) -> String {
        normalize(path).expect("a readable path").forwarded().to_owned()
    }

    #[test]
    fn leaves_a_normal_path_as_it_is() {
        for path in ["/", "/a", "/a/b.c/", "/a-b_c~d/@me", "/a.b"] {
            let normal = normalize(path).expect("readable");
            assert_eq!((normal.forwarded(), normal.key()), (path, path));
            assert_eq!(normal.into_key_and_rewritten(), (None, None));
        }
    }

    #[test]
    fn decodes_unreserved_characters_before_it_resolves_dots() {
        assert_eq!(forwarded("/%61dmin"), "/admin");
        assert_eq!(forwarded("/a/%2e%2e/b"), "/b");
        assert_eq!(forwarded("/a/.%2E/b"), "/b");
        assert_eq!(forwarded("/%7euser"), "/~user");
    }

    #[test]
    fn resolves_dot_segments_and_joins_slashes() {
        assert_eq!(forwarded("/a/./b"), "/a/b");
        assert_eq!(forwarded("/a/.."), "/");
        assert_eq!(forwarded("/a/b/."), "/a/b/");
        assert_eq!(forwarded("/../../a"), "/a");
        assert_eq!(forwarded("//a///b//"), "/a/b/");
        assert_eq!(forwarded("/..a/b..").as_str(), "/..a/b..");
        assert_eq!(forwarded("/.well-known/x"), "/.well-known/x");
    }

    #[test]
    fn keeps_other_escapes_in_capitals_and_matches_them_decoded() {
        let normal = normalize("/users/%40me/%c3%a9").expect("readable");
        assert_eq!(normal.forwarded(), "/users/%40me/%C3%A9");
        assert_eq!(normal.key(), "/users/@me/é");
        assert_eq!(forwarded("/é"), "/%C3%A9");
    }

    #[test]
    fn refuses_what_no_server_should_guess() {
        assert_eq!(normalize("/a%00b"), Err(AmbiguousPath::Nul));
        assert_eq!(normalize("/%ff"), Err(AmbiguousPath::NotUtf8));
        assert_eq!(normalize("/%c0%ae"), Err(AmbiguousPath::NotUtf8));
        assert_eq!(normalize("*"), Err(AmbiguousPath::NotAbsolute));
        for path in ["/%", "/%4", "/%zz", "/a%2"] {
            assert_eq!(normalize(path), Err(AmbiguousPath::BadEscape), "{path}");
        }
    }

    #[test]
    fn names_what_a_route_must_allow() {
        let odd = |path| normalize(path).expect("readable").oddities();
        for path in ["/a%2fb", "/a%2Fb", "/a\\b", "/a%5cb"] {
            assert!(odd(path).encoded_slash, "{path}");
        }
        for path in ["/%2541", "/%25%34%31", "/%25%341"] {
            assert!(odd(path).double_encoding, "{path}");
        }
        assert!(!odd("/100%25").double_encoding && !odd("/%25zz").double_encoding);
        assert!(odd("/a;v=1/b").parameters);
        assert_eq!(normalize("/a%2fb").expect("readable").key(), "/a%2Fb");
    }

    #[test]
    fn refuses_disguised_dot_segments_whatever_a_route_allows() {
        for path in [
            "/a/..;x/b",
            "/a/..%2fb",
            "/a%2f..%2fb",
            "/a/..\\b",
            "/.;/a",
            "/%252e%252e/a",
            "/a%5c%2e%2e",
            "/a/..%252fb",
            "/a/..%25255cb",
            "/a/..%3b/b",
            "/a/%25252e%2e%253bx/b",
        ] {
            assert_eq!(normalize(path), Err(AmbiguousPath::DisguisedDotSegment), "{path}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_is_its_own_normal_form(path in "/([a-c./\\\\;%]|%2[eEfF5]|%5c|%41|%40|%c3%a9|é){0,12}") {
            if let Ok(normal) = normalize(&path) {
                let again = normalize(normal.forwarded()).expect("a normal path is readable");
                prop_assert_eq!(again.forwarded(), normal.forwarded());
                prop_assert_eq!(again.key(), normal.key());
                prop_assert!(!normal.forwarded().contains("//"));
            }
        }

        #[test]
        fn decoding_once_more_changes_nothing_that_the_router_sees(path in "/([a-c./@:]|%2[eEfF5B]|%41|%40|%3f|%c3%a9){0,12}") {
            let Ok(normal) = normalize(&path) else { return Ok(()) };
            if normal.oddities() == Oddities::default() {
                let decoded = percent_encoding::percent_decode_str(normal.forwarded()).decode_utf8().expect("UTF-8");
                // `%25` before anything but two digits is the one escape that a second reading can't undo.
                if !normal.forwarded().contains("%25") {
                    prop_assert_eq!(&*decoded, normal.key());
                }
            }
        }
    }
}
