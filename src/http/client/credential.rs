//! What the client proves itself with, and to which servers alone.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::FetchError;
use super::exchange::Target;
use crate::base::SecretSource;

/// A longer token or password is none, and would be more than a header field may have.
const LONGEST: u64 = 16 << 10;

/// What `Authorization` says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A token (RFC 6750).
    Bearer(SecretSource),
    /// A name and its password (RFC 7617).
    Basic {
        /// Without a colon.
        username: String,
        /// What proves it.
        password: SecretSource,
    },
}

/// A certificate that the client shows in a TLS handshake, by the files where it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientCertificate {
    /// The chain in PEM, the client's own certificate first.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
}

/// Scheme, host and port of a URL: a server that is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    tls: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// Where a URL leads; `None` where it leads nowhere.
    #[must_use]
    pub fn of(url: &Uri) -> Option<Self> {
        let target = Target::of(url).ok()?;
        Some(Self { tls: target.tls, host: target.host.to_ascii_lowercase(), port: target.port })
    }
}

impl Credential {
    /// The field. A file is read each time, so that a token that was replaced is not sent any more.
    pub(super) async fn authorization(&self) -> Result<HeaderValue, FetchError> {
        let text = match self {
            Self::Bearer(token) => {
                let token = expose(token).await.map_err(FetchError::Credential)?;
                field("Bearer ", &token)
            }
            Self::Basic { username, password } => {
                let password = expose(password).await.map_err(FetchError::Credential)?;
                let pair = Zeroizing::new([username.as_bytes(), b":", &password].concat());
                field("Basic ", Zeroizing::new(STANDARD.encode(&pair)).as_bytes())
            }
        };
        // Visible ASCII, and no way into the next field.
        let sound = text.iter().skip(7).all(u8::is_ascii_graphic);
        let value = HeaderValue::from_bytes(&text).ok().filter(|_| sound);
        let mut value = value.ok_or_else(|| FetchError::Credential(io::Error::other("no bearer token")))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn field(scheme: &str, value: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([scheme.as_bytes(), value].concat())
}

async fn expose(source: &SecretSource) -> io::Result<Zeroizing<Vec<u8>>> {
    match source {
        SecretSource::Value(secret) => Ok(Zeroizing::new(secret.expose().to_vec())),
        SecretSource::File(path) => {
            let path = path.clone();
            // A disk may be slow, or gone.
            let read = Handle::current().spawn_blocking(move || read(&path));
            read.await.unwrap_or_else(|_| Err(io::Error::other("a defect of the gateway")))
        }
    }
}

/// One newline at the end is the editor's.
fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // Looked at before it is opened: opening a pipe could wait for ever.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = Zeroizing::new(Vec::new());
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut text)?;
    for end in [b'\n', b'\r'] {
        if text.last() == Some(&end) {
            text.pop();
        }
    }
    match text.len() as u64 {
        0 => Err(io::Error::other("the file is empty")),
        1..=LONGEST => Ok(text),
        _ => Err(io::Error::other("the file is too long")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;

    fn value(text: &str) -> SecretSource {
        SecretSource::Value(Secret::new(text))
    }

    #[tokio::test]
    async fn the_field_is_sensitive_and_in_the_form_of_its_scheme() {
        let field = Credential::Bearer(value("a.b-c~=")).authorization().await.unwrap();
        assert_eq!((field.to_str().unwrap(), field.is_sensitive()), ("Bearer a.b-c~=", true));
        let basic = Credential::Basic { username: "Aladdin".into(), password: value("open sesame") };
        let field = basic.authorization().await.unwrap();
        assert_eq!(field.to_str().unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(field.is_sensitive());
    }

    #[tokio::test]
    async fn a_token_that_would_begin_another_field_is_not_sent() {
        for token in ["a\r\nX: y", "a b", "\u{e9}", "a\0"] {
            let field = Credential::Bearer(value(token)).authorization().await;
            assert!(matches!(field, Err(FetchError::Credential(_))), "{token:?}");
        }
    }

    #[tokio::test]
    async fn a_file_is_read_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let credential = Credential::Bearer(SecretSource::File(path.clone()));
        for token in ["first", "second\n", "third\r\n"] {
            std::fs::write(&path, token).unwrap();
            let field = credential.authorization().await.unwrap();
            assert_eq!(field.to_str().unwrap(), format!("Bearer {}", token.trim_end()));
        }
        for text in [String::new(), "\n".to_owned(), "x".repeat(20_000)] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(credential.authorization().await, Err(FetchError::Credential(_))));
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(credential.authorization().await, Err(FetchError::Credential(_))));
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origin = |url: &str| Origin::of(&url.parse().unwrap());
        assert_eq!(origin("https://Id.example.com/keys"), origin("https://id.example.com:443/?x"));
        for other in [
            "http://id.example.com",
            "https://id.example.com:8443",
            "https://example.com",
            "https://evil.test",
        ] {
            assert_ne!(origin("https://id.example.com"), origin(other), "{other}");
        }
        assert_eq!(origin("ftp://a/"), None);
    }
}
