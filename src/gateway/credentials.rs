//! Where in a request its token is, and how it is taken out before the request goes on.
//!
//! What counts as sent is read here alone, for all places that the route names; whether it is good is for
//! `authenticate` to say. Taking out leaves everything beside the token byte for byte as it came.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, request};
use percent_encoding::percent_decode;

use super::snapshot::Auth;
use crate::config::{TokenForwarding, TokenSource};
use crate::http::{BEARER, InjectedNames};

/// What a request shows of its sender.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Presented<'r> {
    /// No credentials, or none that the route takes.
    Nothing,
    /// Credentials that can't be a token.
    Unusable,
    /// More than one set of them.
    Several,
    /// A text that may be a token.
    Token(Cow<'r, [u8]>),
}

impl Presented<'_> {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, one) | (one, Self::Nothing) => one,
            _ => Self::Several,
        }
    }
}

/// The places of a route's tokens.
#[derive(Debug)]
pub(super) struct Credentials {
    sources: Vec<TokenSource>,
    /// Headers that applications may take for one of them under another spelling.
    spellings: InjectedNames,
    /// Headers are read as SimpleJWT reads them.
    exact: bool,
}

impl Credentials {
    pub(super) fn new(sources: &[TokenSource]) -> Self {
        let headers = sources.iter().filter_map(|source| match source {
            // It has one spelling everywhere.
            TokenSource::Header { name, .. } if *name != AUTHORIZATION => Some(name),
            _ => None,
        });
        Self { spellings: InjectedNames::new(headers), sources: sources.to_vec(), exact: false }
    }

    /// Whether headers are read as SimpleJWT reads them.
    pub(super) fn read_exactly(mut self, exact: bool) -> Self {
        self.exact = exact;
        self
    }

    /// How credentials are called in a challenge: the first scheme of the file.
    pub(super) fn scheme(&self) -> &str {
        TokenSource::scheme(&self.sources).unwrap_or(BEARER)
    }

    /// The one token of a request (RFC 6750, section 2: by one method only).
    pub(super) fn presented<'r>(&self, head: &'r request::Parts) -> Presented<'r> {
        self.sources.iter().fold(Presented::Nothing, |found, source| {
            found.and(match source {
                TokenSource::Header { name, schemes } if self.exact && !schemes.is_empty() => {
                    exact_header(name, schemes, &head.headers)
                }
                source => read(source, head),
            })
        })
    }

    /// Takes out all that stands in a place of tokens.
    fn remove(&self, headers: &mut HeaderMap) {
        self.spellings.strip(headers);
        for source in &self.sources {
            match source {
                // All of them are gone already; `Authorization` goes in any case.
                TokenSource::Header { .. } | TokenSource::Query(_) => {}
                TokenSource::Cookie(name) => {
                    remove_pieces(headers, &COOKIE, b';', |crumb| cookie_value(crumb, name).is_some());
                }
                TokenSource::WebSocketProtocol { after } => {
                    let mut entries = Entries::new(after.as_deref());
                    remove_pieces(headers, &SEC_WEBSOCKET_PROTOCOL, b',', |entry| entries.is_token(entry));
                }
            }
        }
    }

    /// Takes out what an application could take for the header with the token, and is not.
    fn remove_spellings(&self, headers: &mut HeaderMap) {
        if self
            .sources
            .iter()
            .any(|source| matches!(source, TokenSource::Header { name, .. } if *name != AUTHORIZATION))
        {
            let genuine: Vec<(HeaderName, HeaderValue)> = self
                .sources
                .iter()
                .filter_map(|source| match source {
                    TokenSource::Header { name, .. } => Some((name.clone(), headers.get(name)?.clone())),
                    _ => None,
                })
                .collect();
            self.spellings.strip(headers);
            for (name, value) in genuine {
                headers.insert(name, value);
            }
        }
    }
}

impl Auth {
    /// Leaves in the request's head, of what stands in a place of tokens, what the upstream is to have.
    pub(super) fn settle_credentials(&self, forwarding: TokenForwarding, headers: &mut HeaderMap) {
        let credentials = match self {
            Self::Public => None,
            Self::Required { credentials, .. } => Some(credentials),
        };
        match (forwarding, credentials) {
            (TokenForwarding::Forward, None) => {}
            (TokenForwarding::Forward, Some(credentials)) => credentials.remove_spellings(headers),
            (TokenForwarding::Remove, credentials) => {
                headers.remove(AUTHORIZATION);
                if let Some(credentials) = credentials {
                    credentials.remove(headers);
                }
            }
        }
    }

    /// The URI without a token in its query: upstreams log what they are asked for.
    pub(super) fn without_token_in_query(&self, uri: Uri) -> Uri {
        let Self::Required { credentials, .. } = self else { return uri };
        credentials.sources.iter().fold(uri, |uri, source| match source {
            TokenSource::Query(name) => without_parameter(uri, name),
            _ => uri,
        })
    }
}

fn read<'r>(source: &TokenSource, head: &'r request::Parts) -> Presented<'r> {
    match source {
        TokenSource::Header { name, schemes } => header(name, schemes, &head.headers),
        TokenSource::Cookie(name) => pieces(&head.headers, &COOKIE, b';')
            .filter_map(|crumb| cookie_value(crumb, name))
            .fold(Presented::Nothing, |found, value| found.and(usable(value.into(), Presented::Nothing))),
        TokenSource::Query(name) => parameters(head.uri.query().unwrap_or_default())
            .filter_map(|parameter| parameter_value(parameter.as_bytes(), name))
            .fold(Presented::Nothing, |found, value| found.and(usable(value, Presented::Nothing))),
        TokenSource::WebSocketProtocol { after } => {
            let mut entries = Entries::new(after.as_deref());
            let found = pieces(&head.headers, &SEC_WEBSOCKET_PROTOCOL, b',')
                .filter(|entry| entries.is_token(entry))
                .fold(Presented::Nothing, |found, entry| {
                    found.and(usable(entry.trim_ascii().into(), Presented::Nothing))
                });
            // The name without the token that it announces.
            if entries.is_next { found.and(Presented::Unusable) } else { found }
        }
    }
}

/// A text in a place of tokens.
fn usable<'r>(text: Cow<'r, [u8]>, empty: Presented<'r>) -> Presented<'r> {
    if text.is_empty() {
        empty
    } else if text.iter().all(u8::is_ascii_graphic) {
        Presented::Token(text)
    } else {
        Presented::Unusable
    }
}

/// A field of one scheme and one token (RFC 6750, section 2.1), or without schemes of one token.
fn header<'r>(name: &HeaderName, schemes: &[String], headers: &'r HeaderMap) -> Presented<'r> {
    let mut fields = headers.get_all(name).iter();
    let Some(field) = fields.next() else { return Presented::Nothing };
    if fields.next().is_some() {
        return Presented::Several;
    }
    let field = field.as_bytes();
    if schemes.is_empty() {
        return usable(field.trim_ascii().into(), Presented::Nothing);
    }
    let scheme_end = field.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(field.len());
    let (scheme, rest) = field.split_at(scheme_end);
    if !schemes.iter().any(|ours| scheme.eq_ignore_ascii_case(ours.as_bytes())) {
        return Presented::Nothing;
    }
    usable(rest.trim_ascii().into(), Presented::Unusable)
}

/// As SimpleJWT reads a header behind a WSGI server, which joins the fields of one name by commas: the scheme is
/// compared with case, and what has it must be of two words.
fn exact_header<'r>(name: &HeaderName, schemes: &[String], headers: &'r HeaderMap) -> Presented<'r> {
    let mut fields = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let Some(first) = fields.next() else { return Presented::Nothing };
    let Some(second) = fields.next() else {
        return exact(first, schemes)
            .map_or_else(|no_token| no_token, |token| Presented::Token(token.into()));
    };
    let mut joined = [first, second].join(&b',');
    for field in fields {
        joined.push(b',');
        joined.extend_from_slice(field);
    }
    exact(&joined, schemes).map_or_else(|no_token| no_token, |token| Presented::Token(token.to_vec().into()))
}

/// The token of a field, or what it shows instead.
fn exact<'f>(field: &'f [u8], schemes: &[String]) -> Result<&'f [u8], Presented<'static>> {
    let mut words = field.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    if !words.next().is_some_and(|scheme| schemes.iter().any(|ours| scheme == ours.as_bytes())) {
        return Err(Presented::Nothing);
    }
    match (words.next(), words.next()) {
        (Some(token), None) => Ok(token),
        _ => Err(Presented::Unusable),
    }
}

/// What stands between separators, in all fields of a name.
fn pieces<'r>(headers: &'r HeaderMap, name: &HeaderName, separator: u8) -> impl Iterator<Item = &'r [u8]> {
    let fields = headers.get_all(name).iter();
    fields.flat_map(move |field| field.as_bytes().split(move |byte| *byte == separator))
}

/// The value of a cookie of this name (RFC 6265, section 4.2.1), without the quotes that it may stand in.
fn cookie_value<'r>(crumb: &'r [u8], name: &str) -> Option<&'r [u8]> {
    let equals = crumb.iter().position(|byte| *byte == b'=')?;
    if crumb[..equals].trim_ascii() != name.as_bytes() {
        return None;
    }
    let value = crumb[equals + 1..].trim_ascii();
    Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
}

fn parameters(query: &str) -> std::str::Split<'_, char> {
    query.split('&')
}

/// The value of a parameter of this name, whichever way both are escaped.
fn parameter_value<'r>(parameter: &'r [u8], name: &str) -> Option<Cow<'r, [u8]>> {
    let equals = parameter.iter().position(|byte| *byte == b'=').unwrap_or(parameter.len());
    let is_named = percent_decode(&parameter[..equals]).eq(name.bytes());
    is_named.then(|| percent_decode(parameter.get(equals + 1..).unwrap_or_default()).into())
}

/// Walks the entries of `Sec-WebSocket-Protocol` to those that are tokens.
struct Entries<'n> {
    after: Option<&'n str>,
    /// Whether the entry before was the name after which a token comes.
    is_next: bool,
}

impl<'n> Entries<'n> {
    fn new(after: Option<&'n str>) -> Self {
        Self { after, is_next: false }
    }

    fn is_token(&mut self, entry: &[u8]) -> bool {
        let entry = entry.trim_ascii();
        match self.after {
            // Every JOSE header begins with `{"`, which is `ey` in base64url.
            None => entry.starts_with(b"ey") && memchr::memchr_iter(b'.', entry).count() == 2,
            // An empty entry is none (RFC 9110, section 5.6.1.2).
            Some(_) if entry.is_empty() => false,
            Some(_) if self.is_next => {
                self.is_next = false;
                true
            }
            Some(name) => {
                self.is_next = entry == name.as_bytes();
                false
            }
        }
    }
}

/// Drops pieces from the fields of a name, and fields of which nothing is left.
fn remove_pieces(
    headers: &mut HeaderMap,
    name: &HeaderName,
    separator: u8,
    mut is_dropped: impl FnMut(&[u8]) -> bool,
) {
    let fields: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    if fields.is_empty() {
        return;
    }
    headers.remove(name);
    for field in fields {
        match without(field.as_bytes(), separator, &mut is_dropped) {
            None => {
                headers.append(name, field);
            }
            Some(rest) if rest.trim_ascii().is_empty() => {}
            Some(rest) => {
                let rest = HeaderValue::from_bytes(&rest).expect("parts of a field value are one");
                headers.append(name, rest);
            }
        }
    }
}

/// The URI without the parameters of this name.
fn without_parameter(uri: Uri, name: &str) -> Uri {
    let rest = uri.query().and_then(|query| {
        without(query.as_bytes(), b'&', |parameter| parameter_value(parameter, name).is_some())
    });
    let Some(rest) = rest else { return uri };
    let path = uri.path();
    let text =
        if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", String::from_utf8_lossy(&rest)) };
    text.parse().expect("a path and whole parameters of a query are a URI")
}

/// A text without some of its pieces, `None` if all stay. Blanks before what is now the first piece go too.
fn without(text: &[u8], separator: u8, mut is_dropped: impl FnMut(&[u8]) -> bool) -> Option<Vec<u8>> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut dropped = false;
    for piece in text.split(|byte| *byte == separator) {
        if is_dropped(piece) {
            dropped = true;
        } else if kept.is_empty() && dropped {
            kept.push(piece.trim_ascii_start());
        } else {
            kept.push(piece);
        }
    }
    dropped.then(|| kept.join(&separator))
}

#[cfg(test)]
mod tests;
