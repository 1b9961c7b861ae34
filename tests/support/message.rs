//! HTTP/1.1 messages, read byte by byte as a plain reader of RFC 9112 would, and kept as they came.

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};

/// A request or an answer: its bytes, and what they say.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// Head and body as they came over the wire, chunk sizes included.
    pub raw: Vec<u8>,
    /// The request line or status line.
    pub start: String,
    /// The header fields in their order, names as they were spelled.
    pub fields: Vec<(String, String)>,
    /// The content, chunks put together.
    pub body: Vec<u8>,
    /// The body ended as its framing announced; otherwise the sender broke it off.
    pub complete: bool,
}

/// How long the body is when neither `Content-Length` nor `Transfer-Encoding` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unframed {
    /// A request's: there is none.
    Empty,
    /// An answer's: up to the end of the connection.
    UntilClose,
    /// An answer to HEAD: none, even where the fields announce one.
    Never,
}

impl Message {
    /// Reads the next message; `None` where the peer closed before its first byte.
    pub async fn read(from: &mut (impl AsyncRead + Unpin), unframed: Unframed) -> Option<Self> {
        let mut message = Self::default();
        while !message.raw.ends_with(b"\r\n\r\n") {
            let Ok(byte) = from.read_u8().await else {
                assert!(message.raw.is_empty(), "broken off within the head: {}", message.text());
                return None;
            };
            message.raw.push(byte);
        }
        let head = String::from_utf8_lossy(&message.raw).into_owned();
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        lines.next().unwrap_or_default().clone_into(&mut message.start);
        message.fields = lines
            .map(|line| {
                let (name, value) = line
                    .split_once(':')
                    .unwrap_or_else(|| panic!("a header field without a colon: {line:?}"));
                (name.to_owned(), value.trim().to_owned())
            })
            .collect();
        message.complete = message.read_body(from, unframed).await.is_some();
        Some(message)
    }

    /// `None` where the body is broken off.
    async fn read_body(&mut self, from: &mut (impl AsyncRead + Unpin), unframed: Unframed) -> Option<()> {
        let status = self.start.strip_prefix("HTTP/1.1 ").map(|rest| &rest[..3]);
        if unframed == Unframed::Never || matches!(status, Some("204" | "304")) {
            return Some(());
        }
        if self.header("transfer-encoding").is_some() {
            assert_eq!(self.header("transfer-encoding"), Some("chunked"), "{}", self.text());
            return self.read_chunks(from).await;
        }
        if let Some(length) = self.header("content-length") {
            let length: usize = length.parse().unwrap_or_else(|_| panic!("no length: {length:?}"));
            let at = self.raw.len();
            let whole = self.read_more(from, length).await;
            self.body = self.raw[at..].to_vec();
            return whole;
        }
        if unframed == Unframed::UntilClose {
            let at = self.raw.len();
            from.read_to_end(&mut self.raw).await.ok()?;
            self.body = self.raw[at..].to_vec();
        }
        Some(())
    }

    async fn read_chunks(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Option<()> {
        loop {
            let line = self.read_line(from).await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size =
                usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("no size of a chunk: {line:?}"));
            if size == 0 {
                // Trailer fields, up to an empty line.
                while !self.read_line(from).await?.is_empty() {}
                return Some(());
            }
            let at = self.raw.len();
            let whole = self.read_more(from, size).await;
            self.body.extend_from_slice(&self.raw[at..]);
            whole?;
            assert_eq!(self.read_line(from).await?, "", "a chunk is longer than its size");
        }
    }

    async fn read_line(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Option<String> {
        let at = self.raw.len();
        while !self.raw[at..].ends_with(b"\r\n") {
            self.raw.push(from.read_u8().await.ok()?);
        }
        Some(String::from_utf8_lossy(&self.raw[at..self.raw.len() - 2]).into_owned())
    }

    async fn read_more(&mut self, from: &mut (impl AsyncRead + Unpin), length: usize) -> Option<()> {
        let at = self.raw.len();
        from.take(length as u64).read_to_end(&mut self.raw).await.ok()?;
        (self.raw.len() - at == length).then_some(())
    }

    /// The method of a request.
    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// The target of a request, as it came.
    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The status of an answer.
    pub fn status(&self) -> u16 {
        self.target().parse().unwrap_or_else(|_| panic!("no status line: {}", self.start))
    }

    /// The only field of this name; fails the test when there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers(name);
        let first = values.next();
        assert_eq!(values.next(), None, "{name} is there twice:\n{}", self.text());
        first
    }

    /// All fields of this name.
    pub fn headers<'m>(&'m self, name: &str) -> impl Iterator<Item = &'m str> {
        self.fields
            .iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON:\n{}", self.text()))
    }

    /// All of it, for a person.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }
}
