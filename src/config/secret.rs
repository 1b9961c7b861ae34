//! Secrets: from a variable of the environment or from a file, never from `gateway.yaml` itself.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

use crate::base::{Algorithm, KeyFamily, Secret, SecretSource};

use super::mistake::MistakeKind;
use super::walk::Node;

/// Longer than any key.
const LARGEST: u64 = 64 << 10;

const HOW: &str = "write ${NAME} for a variable of the environment, or file:PATH";

impl Node<'_> {
    /// `${NAME}`, `${NAME:-default}` or `file:PATH`.
    pub(super) fn secret(&self) -> Option<Secret> {
        self.secret_source().map(|(_, secret)| secret)
    }

    /// As [`Node::secret`], and where to look for it again.
    pub(super) fn secret_source(&self) -> Option<(SecretSource, Secret)> {
        let filled = match self.value() {
            super::written::Value::Text(_) => self.filled("a secret")?,
            // A number is a secret in clear text too, and must not be shown.
            _ => return self.refuse_with(MistakeKind::LiteralSecret, HOW),
        };
        if let Some(path) = filled.text.strip_prefix("file:") {
            return self.secret_file(path);
        }
        if !filled.has_variables || filled.has_literals {
            return self.refuse_with(MistakeKind::LiteralSecret, HOW);
        }
        if filled.text.is_empty() {
            return self.refuse(MistakeKind::EmptySecret);
        }
        if filled.has_defaults {
            self.warn("the default of this secret is known to everybody who can read the file");
        }
        let secret = Secret::new(filled.text);
        Some((SecretSource::Value(secret.clone()), secret))
    }

    fn secret_file(&self, path: &str) -> Option<(SecretSource, Secret)> {
        if path.is_empty() {
            return self.refuse_with(MistakeKind::LiteralSecret, HOW);
        }
        let path = self.reader().beside(path);
        match read_file(&path) {
            Ok(bytes) if bytes.is_empty() => self.refuse(MistakeKind::EmptySecret),
            Ok(bytes) if bytes.len() as u64 > LARGEST => {
                self.refuse(MistakeKind::SecretTooLarge { limit_kib: LARGEST >> 10 })
            }
            Ok(bytes) => Some((SecretSource::File(path), Secret::new(bytes.as_slice()))),
            Err(error) => self.refuse(MistakeKind::SecretFile(error.to_string())),
        }
    }

    /// Refuses a secret that is too short for an HMAC algorithm of the list, or is no HMAC secret at all.
    pub(super) fn check_hmac_secret(
        &self,
        secret: &Secret,
        algorithms: impl IntoIterator<Item = Algorithm>,
        allow_short: bool,
    ) -> Option<()> {
        let algorithms: Vec<(usize, Algorithm)> = algorithms
            .into_iter()
            .filter_map(|algorithm| Some((algorithm.shortest_secret()?, algorithm)))
            .collect();
        let Some(&(needed, algorithm)) = algorithms.iter().max() else {
            return Some(());
        };
        if is_pem(secret) {
            return self.refuse(MistakeKind::SecretIsPem(algorithm));
        }
        if secret.len() < needed && !allow_short {
            let kind = MistakeKind::ShortSecret { algorithm, needed, found: secret.len() };
            return self.refuse_with(
                kind,
                "make a longer one, e.g. with `openssl rand -hex 64`; `allow_short: true` takes it all the same",
            );
        }
        Some(())
    }

    /// Refuses a signing key that is none for the algorithm.
    pub(super) fn check_signing_key(
        &self,
        secret: &Secret,
        algorithm: Algorithm,
        allow_short: bool,
    ) -> Option<()> {
        if algorithm.family() == KeyFamily::Hmac {
            return self.check_hmac_secret(secret, [algorithm], allow_short);
        }
        if is_pem(secret) { Some(()) } else { self.refuse(MistakeKind::SecretIsNoPem(algorithm)) }
    }
}

fn is_pem(secret: &Secret) -> bool {
    secret.expose().windows(10).any(|window| window == b"-----BEGIN")
}

/// At most one byte more than a secret may have. One newline at the end is the editor's, not the secret's.
fn read_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    // Opening a pipe or a device could wait for ever.
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(LARGEST + 3).read_to_end(&mut bytes)?;
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    Ok(bytes)
}
