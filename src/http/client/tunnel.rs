//! A connection through a proxy (RFC 9110, section 9.3.6).

use std::fmt;

use http::HeaderValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::FetchError;
use super::exchange::Target;
use super::proxies::Proxy;

/// How long the head of a proxy's answer may be.
const LONGEST_HEAD: usize = 8 * 1024;

/// How a proxy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyRefusal {
    /// With this status.
    Status(u16),
    /// With something that is no answer.
    NoAnswer,
}

impl fmt::Display for ProxyRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "its answer has status {status}"),
            Self::NoAnswer => f.write_str("what it sends is no answer of HTTP"),
        }
    }
}

/// Lets the proxy connect to the target. What is sent on the stream from then on, the target gets.
pub(super) async fn open(proxy: &Proxy, target: &Target<'_>) -> Result<TcpStream, FetchError> {
    let authorization = proxy.authorization.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
    let proxy = Target::of(&proxy.url)?;
    let unreachable = FetchError::Unreachable;
    let mut stream = TcpStream::connect((proxy.host, proxy.port)).await.map_err(unreachable)?;
    // The host comes from a parsed URL, which holds no control characters.
    let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.to_owned() };
    let authority = format!("{host}:{}", target.port);
    let mut request =
        Zeroizing::new(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes());
    if !authorization.is_empty() {
        request.extend([b"Proxy-Authorization: ", authorization, b"\r\n"].into_iter().flatten());
    }
    request.extend(b"\r\n");
    stream.write_all(&request).await.map_err(unreachable)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == LONGEST_HEAD {
            return Err(FetchError::Proxy(ProxyRefusal::NoAnswer));
        }
        // Byte by byte: the next one may be the target's.
        head.push(stream.read_u8().await.map_err(unreachable)?);
    }
    match status(&head) {
        Some(200..=299) => Ok(stream),
        Some(status) => Err(FetchError::Proxy(ProxyRefusal::Status(status))),
        None => Err(FetchError::Proxy(ProxyRefusal::NoAnswer)),
    }
}

/// Of `HTTP/1.1 200 Connection established`.
fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.1 ").or_else(|| head.strip_prefix(b"HTTP/1.0 "))?;
    let (digits, rest) = rest.split_at_checked(3)?;
    let ends = rest.first().is_some_and(|byte| matches!(byte, b' ' | b'\r'));
    let status = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (ends && digits.iter().all(u8::is_ascii_digit)).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_status_of_a_proxy_and_nothing_that_looks_like_one() {
        assert_eq!(status(b"HTTP/1.1 200 Connection established\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407\r\n\r\n"), Some(407));
        for head in
            [&b"HTTP/1.1 2000 x"[..], b"HTTP/2 200 x", b"HTTP/1.1 +20 x", b"HTTP/1.1 20", b"200 OK", b""]
        {
            assert_eq!(status(head), None, "{}", String::from_utf8_lossy(head));
        }
    }
}
