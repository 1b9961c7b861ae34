//! `match:` of a route: hosts, paths and methods, in the one form in which requests are compared with them.
//!
//! A pattern that no request can match would guard nothing, silently; so everything that the gateway
//! rewrites or refuses in a request (see `http::path`) is a mistake in a pattern.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::Method;

use super::mistake::MistakeKind;
use super::model::{HostPattern, PathPattern};
use super::walk::Node;

/// The longest path that is taken for one.
const LONGEST_PATH: usize = 1024;

impl Node<'_> {
    /// `/x` that path, `/x/*` it and all below, `/*` everything.
    pub(super) fn path_pattern(&self) -> Option<PathPattern> {
        let text = self.text("a path such as /api/*")?;
        path_pattern(&text).map_or_else(|problem| self.refuse_pattern(problem), Some)
    }

    /// A path without `*`, at which the gateway itself answers.
    pub(super) fn exact_path(&self) -> Option<String> {
        let text = self.text("a path such as /api/token/")?;
        match path_pattern(&text) {
            Ok(PathPattern::Exact(path)) if path == text => Some(path),
            Ok(PathPattern::Exact(_)) => self.refuse_pattern("holds an escape; write a plain path"),
            Ok(PathPattern::Prefix(_)) => self.refuse_pattern("ends in /*; one path stands here"),
            Err(problem) => self.refuse_pattern(problem),
        }
    }

    /// `example.com`, or `*.example.com` for all below it.
    pub(super) fn host_pattern(&self) -> Option<HostPattern> {
        let text = self.text("a host such as example.com or *.example.com")?.to_ascii_lowercase();
        let problem = match text.strip_prefix("*.") {
            Some(suffix) => match host_problem(suffix) {
                None if !is_address(suffix) => return Some(HostPattern::Suffix(suffix.to_owned())),
                None => "puts a star before an address",
                Some(problem) => problem,
            },
            None if text == "*" => "is what a route without \"host\" matches; leave it out",
            None => match host_problem(&text) {
                None => return Some(HostPattern::Exact(text)),
                Some(problem) => problem,
            },
        };
        self.refuse_pattern(problem)
    }

    /// A method in capitals.
    pub(super) fn method(&self) -> Option<Method> {
        let text = self.text("a method such as GET")?;
        if matches!(text.as_str(), "CONNECT" | "TRACE") {
            return self.refuse_pattern("is never taken by the gateway");
        }
        if text.contains(|character: char| character.is_ascii_lowercase()) {
            return self.refuse_pattern("is not in capitals; methods are compared with case");
        }
        match Method::from_bytes(text.as_bytes()) {
            Ok(method) if text.len() <= 32 => Some(method),
            _ => self.refuse_pattern("is no method"),
        }
    }

    fn refuse_pattern<T>(&self, problem: &'static str) -> Option<T> {
        self.refuse(MistakeKind::Pattern { found: self.shown(), problem })
    }
}

fn path_pattern(text: &str) -> Result<PathPattern, &'static str> {
    if !text.starts_with('/') {
        return Err("does not begin with a slash");
    }
    if text.len() > LONGEST_PATH {
        return Err("is too long");
    }
    match text.strip_suffix("/*") {
        Some("") => Ok(PathPattern::Prefix(String::new())),
        Some(prefix) => {
            let prefix = comparable(prefix)?;
            if prefix.ends_with('/') {
                return Err("holds an empty segment (//)");
            }
            Ok(PathPattern::Prefix(prefix))
        }
        None => Ok(PathPattern::Exact(comparable(text)?)),
    }
}

/// The path as the router compares it: decoded, but for `%2F`, `%5C` and `%25`.
fn comparable(path: &str) -> Result<String, &'static str> {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let byte = escape_at(bytes, at).ok_or("holds a % without two hexadecimal digits")?;
                refuse_escape(byte, &bytes[at + 3..])?;
                match byte {
                    b'%' => decoded.extend(b"%25"),
                    byte => decoded.push(byte),
                }
                at += 3;
                continue;
            }
            b'*' => return Err("holds a * elsewhere than at the end after a slash; write %2A for a star"),
            b';' => return Err("holds a ; which is refused in a request unless its route allows it"),
            b'?' => return Err("holds a ? but only the path is matched; write %3F for a question mark"),
            b'#' => return Err("holds a # which no request's path has; write %23 for one"),
            b'\\' => {
                return Err("holds a backslash, which is refused in a request unless its route allows it");
            }
            0..=b' ' | 0x7f => return Err("holds a blank or a control character; write it as %XX"),
            byte => decoded.push(byte),
        }
        at += 1;
    }
    let decoded = String::from_utf8(decoded).map_err(|_| "is not UTF-8 when it is decoded")?;
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "" if segments.peek().is_some() => return Err("holds an empty segment (//)"),
            "." | ".." => return Err("holds a dot segment, which the gateway resolves in a request"),
            _ => {}
        }
    }
    Ok(decoded)
}

fn refuse_escape(byte: u8, after: &[u8]) -> Result<(), &'static str> {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            Err("escapes a character that the gateway decodes in a request; write it plainly")
        }
        0..=0x1f | 0x7f => Err("holds a control character"),
        b'/' | b'\\' => Err(
            "holds an encoded slash or backslash, which is refused in a request unless its route allows it",
        ),
        b'%' if after.len() >= 2 && after[..2].iter().all(u8::is_ascii_hexdigit) => {
            Err("is encoded twice, which is refused in a request unless its route allows it")
        }
        b'%' if after.first() == Some(&b'%') => {
            Err("may be encoded twice, which is refused in a request unless its route allows it")
        }
        _ => Ok(()),
    }
}

fn escape_at(path: &[u8], at: usize) -> Option<u8> {
    let digits = path.get(at + 1..at + 3)?;
    let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// What is wrong with a lower-case host, which is a name or an address without port.
pub(super) fn host_problem(host: &str) -> Option<&'static str> {
    if is_address(host) {
        return None;
    }
    if host.ends_with('.') {
        return Some("ends in a dot; it is matched without");
    }
    if host.starts_with('[') || host.contains("::") {
        return Some("is no address; write [2001:db8::1] for one of IPv6, without a port");
    }
    if host.contains(':') {
        return Some("holds a port; a host is matched on all ports");
    }
    let sound = (1..=253).contains(&host.len())
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        });
    if sound { None } else { Some("is no host name") }
}

fn is_address(host: &str) -> bool {
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inside.is_some_and(|inside| inside.parse::<Ipv6Addr>().is_ok()) || host.parse::<Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(text: &str) -> Option<String> {
        match path_pattern(text) {
            Ok(PathPattern::Exact(path)) => Some(path),
            _ => None,
        }
    }

    #[test]
    fn a_path_is_exact_or_ends_in_a_star() {
        assert_eq!(exact("/"), Some("/".into()));
        assert_eq!(exact("/api/"), Some("/api/".into()));
        assert_eq!(path_pattern("/*"), Ok(PathPattern::Prefix(String::new())));
        assert_eq!(path_pattern("/api/*"), Ok(PathPattern::Prefix("/api".into())));
    }

    #[test]
    fn a_path_is_decoded_as_requests_are() {
        assert_eq!(exact("/%40me/é"), Some("/@me/é".into()));
        assert_eq!(exact("/%c3%a9"), Some("/é".into()));
        assert_eq!(exact("/100%25"), Some("/100%25".into()));
        assert_eq!(exact("/a%2Ab%20c"), Some("/a*b c".into()));
    }

    #[test]
    fn refuses_a_path_that_no_request_has() {
        for text in [
            "",
            "api",
            "/a//b",
            "/a//*",
            "//*",
            "/a/../b",
            "/.",
            "/a/..",
            "/%2e%2e",
            "/%61",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a;v=1",
            "/a?b",
            "/a#b",
            "/a*",
            "/*/b",
            "/a b",
            "/a\n",
            "/%",
            "/%4",
            "/%zz",
            "/%00",
            "/%0a",
            "/%2541",
            "/%25%34%31",
            "/%ff",
            "*",
            "/%+1",
        ] {
            assert!(path_pattern(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for host in ["example.com", "localhost", "a_b.example", "127.0.0.1", "[::1]", "xn--e1a.example"] {
            assert_eq!(host_problem(host), None, "{host:?}");
        }
        for host in
            ["", "a..b", "example.com.", "example.com:80", "::1", "[::1]:80", "a b", "ü.example", "*.a"]
        {
            assert!(host_problem(host).is_some(), "{host:?}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(text in "/[a-z%0-9/.;*?é]{0,20}") {
            let _ = path_pattern(&text);
        }

        /// Decoding once more must not change what is compared, or a pattern would stand for two paths.
        #[test]
        fn a_comparable_path_has_no_escapes_but_three(text in "/[a-f%0-9/.-]{0,20}") {
            if let Ok(PathPattern::Exact(path)) = path_pattern(&text) {
                for (at, _) in path.match_indices('%') {
                    prop_assert!(path[at..].starts_with("%25"));
                }
            }
        }
    }
}
