//! Which host a request is for: `Host`, `:authority` and the absolute form must tell one story.

use std::ops::Range;

use http::header::HOST;
use http::{HeaderMap, Uri};

/// The host of a request in the form that routes compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHost<'r> {
    received: &'r str,
    name: &'r str,
}

/// `Host` is not what RFC 9112, section 3.2 asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHost {
    /// Neither `Host` nor an authority.
    #[error("no host")]
    Missing,
    /// More than one `Host` field.
    #[error("more than one Host field")]
    Doubled,
    /// No host name or address with an optional port.
    #[error("malformed host")]
    Malformed,
    /// The request's own authority names another host.
    #[error("the authority differs from Host")]
    Mismatch,
}

impl<'r> RequestHost<'r> {
    /// As the client wrote it, port included.
    #[must_use]
    pub fn received(&self) -> &'r str {
        self.received
    }

    /// Where in the received text the name stands.
    #[must_use]
    pub fn name_range(&self) -> Range<usize> {
        // A name is always the beginning of the text that it was cut from.
        0..self.name.len()
    }

    /// The name without port and without a final dot; compare without case.
    #[must_use]
    pub fn name(&self) -> &'r str {
        self.name
    }
}

/// Finds the one host that a request is for.
///
/// # Errors
/// [`BadHost`] where there is none, more than one, or two that differ.
pub fn request_host<'r>(headers: &'r HeaderMap, uri: &'r Uri) -> Result<RequestHost<'r>, BadHost> {
    let mut fields = headers.get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(BadHost::Doubled);
    }
    let field = field.map(|value| value.to_str().map_err(|_| BadHost::Malformed)).transpose()?;
    let authority = uri.authority().map(http::uri::Authority::as_str);
    let received = match (field, authority) {
        (None, None) => return Err(BadHost::Missing),
        (Some(field), None) => field,
        (None, Some(authority)) => authority,
        (Some(field), Some(authority)) => {
            if !same_authority(field, authority, uri.scheme_str()) {
                return Err(BadHost::Mismatch);
            }
            field
        }
    };
    let name = host_name(received).ok_or(BadHost::Malformed)?;
    Ok(RequestHost { received, name })
}

/// Whether a text is `HOST[:PORT]`, as a proxy tells it in `X-Forwarded-Host`.
#[must_use]
pub fn is_authority(text: &str) -> bool {
    host_name(text).is_some()
}

/// The host part of `HOST[:PORT]`, if both are well formed. User information is refused: nobody but an
/// attacker puts it there.
fn host_name(authority: &str) -> Option<&str> {
    let (host, port) = if authority.starts_with('[') {
        let end = authority.find(']')?;
        authority[1..end].parse::<std::net::Ipv6Addr>().ok()?;
        (&authority[..=end], &authority[end + 1..])
    } else {
        authority.split_at(authority.find(':').unwrap_or(authority.len()))
    };
    if let Some(digits) = port.strip_prefix(':') {
        // An empty port is allowed by RFC 3986, section 3.2.3.
        let fits = digits.is_empty() || (digits.len() <= 5 && digits.parse::<u16>().is_ok());
        if !fits || digits.starts_with('+') {
            return None;
        }
    } else if !port.is_empty() {
        return None;
    }
    if host.starts_with('[') {
        return Some(host);
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let well_formed = !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        && !name.starts_with('.')
        && !name.contains("..");
    well_formed.then_some(name)
}

fn same_authority(field: &str, authority: &str, scheme: Option<&str>) -> bool {
    if field.eq_ignore_ascii_case(authority) {
        return true;
    }
    let default_port = match scheme {
        Some("http") => ":80",
        _ => ":443",
    };
    let bare = |text: &'_ str| text.strip_suffix(default_port).unwrap_or(text).to_ascii_lowercase();
    bare(field) == bare(authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn host(fields: &[&'static str], uri: &'static str) -> Result<String, BadHost> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(HOST, HeaderValue::from_static(field));
        }
        let uri = Uri::from_static(uri);
        request_host(&headers, &uri).map(|host| host.name().to_owned())
    }

    #[test]
    fn takes_names_and_addresses_with_and_without_port() {
        assert_eq!(host(&["example.com"], "/"), Ok("example.com".into()));
        assert_eq!(host(&["Example.com:8443"], "/"), Ok("Example.com".into()));
        assert_eq!(host(&["example.com."], "/"), Ok("example.com".into()));
        assert_eq!(host(&["[::1]:80"], "/"), Ok("[::1]".into()));
        assert_eq!(host(&["127.0.0.1:1"], "/"), Ok("127.0.0.1".into()));
        assert_eq!(host(&["localhost:"], "/"), Ok("localhost".into()));
    }

    #[test]
    fn refuses_a_host_that_is_missing_doubled_or_malformed() {
        assert_eq!(host(&[], "/"), Err(BadHost::Missing));
        assert_eq!(host(&["a", "a"], "/"), Err(BadHost::Doubled));
        for field in [
            "", ".", "a b", "user@a", "a:b", "a:99999", "a:+80", "[::1", "[x]", "[::1]x", "a/b", "a,b",
            "a..b", ".a", "a:80:80",
        ] {
            assert_eq!(host(&[field], "/"), Err(BadHost::Malformed), "{field:?}");
        }
    }

    #[test]
    fn an_authority_must_agree_with_the_field() {
        assert_eq!(host(&["a.example"], "https://a.example/x"), Ok("a.example".into()));
        assert_eq!(host(&["a.example:443"], "https://a.example/x"), Ok("a.example".into()));
        assert_eq!(host(&["A.example"], "https://a.example/x"), Ok("A.example".into()));
        assert_eq!(host(&[], "https://a.example/x"), Ok("a.example".into()));
        assert_eq!(host(&["b.example"], "https://a.example/x"), Err(BadHost::Mismatch));
        assert_eq!(host(&["a.example:8443"], "https://a.example/x"), Err(BadHost::Mismatch));
        assert_eq!(host(&["a.example"], "http://user@a.example/x"), Err(BadHost::Mismatch));
    }
}
