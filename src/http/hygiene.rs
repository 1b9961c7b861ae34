//! Header fields that must not cross the gateway: those of one hop, and those that a client could forge.

use http::header::{
    CONNECTION, EXPECT, HeaderMap, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

/// Fields of one connection (RFC 9110, section 7.6.1), beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] =
    [CONNECTION, TRANSFER_ENCODING, TE, TRAILER, UPGRADE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, EXPECT];
const HOP_BY_HOP_UNNAMED: [&str; 2] = ["keep-alive", "proxy-connection"];

/// Removes what belongs to one hop, from a request or an answer.
///
/// `Connection` may name any field; naming `Host` or `Authorization` would let a client make the upstream
/// miss them, so only fields that no server needs to understand a request are dropped at its word.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|token| HeaderName::from_bytes(token.trim().as_bytes()).ok())
            .filter(|name| !is_end_to_end(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    for name in HOP_BY_HOP_UNNAMED {
        headers.remove(name);
    }
}

/// What `Connection` can't take away: the fields by which the next server understands the message.
fn is_end_to_end(name: &HeaderName) -> bool {
    use http::header::{
        AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, SET_COOKIE,
    };
    [HOST, CONTENT_LENGTH, CONTENT_TYPE, AUTHORIZATION, COOKIE, SET_COOKIE, CACHE_CONTROL].contains(name)
}

/// The names of every header that any route injects, in the one spelling to which CGI, WSGI and PHP reduce
/// them: letters and digits only, without case. `X-User-Id`, `X_User_Id` and `X.User.Id` are one name there.
#[derive(Debug, Clone, Default)]
pub struct InjectedNames {
    folded: Vec<Box<[u8]>>,
    /// One bit for each first letter and length, so that most names cost no comparison.
    filter: u64,
}

impl InjectedNames {
    /// The set of these names.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n HeaderName>) -> Self {
        let mut set = Self::default();
        for name in names {
            let folded: Box<[u8]> = fold(name.as_str()).collect();
            set.filter |= filter_bit(&folded[..]);
            if !set.folded.contains(&folded) {
                set.folded.push(folded);
            }
        }
        set
    }

    /// Whether an upstream could take this name for an injected one.
    #[must_use]
    pub fn could_be(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        let first = fold(name).next();
        let length = fold(name).count();
        first.is_some_and(|first| self.filter & bit(first, length) != 0)
            && self.folded.iter().any(|folded| fold(name).eq(folded.iter().copied()))
    }

    /// Removes every inbound field that could be taken for an injected one.
    pub fn strip(&self, headers: &mut HeaderMap) {
        if self.folded.is_empty() {
            return;
        }
        // Two passes: a request with such a field is rare, and a map can't be changed while it is read.
        if headers.keys().any(|name| self.could_be(name)) {
            let forged: Vec<HeaderName> =
                headers.keys().filter(|name| self.could_be(name)).cloned().collect();
            for name in forged {
                headers.remove(name);
            }
        }
    }
}

fn fold(name: &str) -> impl Iterator<Item = u8> + '_ {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase())
}

fn bit(first: u8, length: usize) -> u64 {
    1 << ((usize::from(first) * 7 + length) % 64)
}

fn filter_bit(folded: &[u8]) -> u64 {
    folded.first().map_or(0, |first| bit(*first, folded.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn fields_of_one_hop_and_those_named_by_connection_are_dropped() {
        let mut fields = headers(&[
            ("connection", "x-gone, keep-alive"),
            ("x-gone", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("transfer-encoding", "chunked"),
            ("x-stays", "1"),
        ]);
        strip_hop_by_hop(&mut fields);
        assert_eq!(names(&fields), ["x-stays"]);
    }

    #[test]
    fn connection_cannot_take_away_what_makes_a_request() {
        let mut fields =
            headers(&[("connection", "host, authorization, x"), ("host", "a"), ("authorization", "b")]);
        strip_hop_by_hop(&mut fields);
        assert!(fields.contains_key("host") && fields.contains_key("authorization"));
    }

    #[test]
    fn every_spelling_of_an_injected_name_is_removed() {
        let injected = InjectedNames::new(&[HeaderName::from_static("x-user-id")]);
        for spelling in
            ["x-user-id", "x_user_id", "x.user.id", "x--user-id", "xuserid", "x~user!id", "x-user-id-"]
        {
            let mut fields = headers(&[(spelling, "mallory"), ("x-user", "kept")]);
            injected.strip(&mut fields);
            assert_eq!(names(&fields), ["x-user"], "{spelling}");
        }
    }

    #[test]
    fn other_names_stay() {
        let injected = InjectedNames::new(&[HeaderName::from_static("x-user-id")]);
        let mut fields = headers(&[("x-user-idx", "1"), ("x-use-rid2", "1"), ("user-id", "1")]);
        injected.strip(&mut fields);
        assert_eq!(fields.len(), 3);
    }
}
