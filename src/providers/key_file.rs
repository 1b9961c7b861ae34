//! Keys in a file beside `gateway.yaml`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use super::KeyProblem;
use crate::config;
use crate::jwt::{Key, KeySet, Origin};

/// Longer than any key set; a file that grows without end is not read to its end.
const LONGEST: u64 = 16 << 20;

/// A file with keys, and what was in it when it was looked at last.
#[derive(Debug, Clone)]
pub(super) struct KeyFile {
    path: PathBuf,
    form: Form,
    /// SHA-256 of the text.
    seen: [u8; 32],
}

#[derive(Debug, Clone, Copy)]
enum Form {
    /// One public key or certificate.
    Pem,
    /// A JWK set.
    Jwks,
}

impl KeyFile {
    /// Reads the file of a provider's keys, if they are in one.
    ///
    /// # Errors
    /// Where it can't be read, or holds no key.
    pub(super) fn open(keys: &config::KeySource) -> Option<Result<(Self, KeySet), KeyProblem>> {
        let (path, form) = match keys {
            config::KeySource::PemFile(path) => (path.clone(), Form::Pem),
            config::KeySource::JwksFile(path) => (path.clone(), Form::Jwks),
            config::KeySource::Own
            | config::KeySource::Jwks(_)
            | config::KeySource::Secret(_)
            | config::KeySource::Remote(_)
            | config::KeySource::RemoteByTenant(_)
            | config::KeySource::Introspection(_) => return None,
        };
        let mut file = Self { path, form, seen: [0; 32] };
        Some(file.read().and_then(|text| file.take(&text)).map(|set| (file, set)))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it now, if that is not what was there before.
    ///
    /// # Errors
    /// Where it can't be read, or holds no key.
    pub(super) fn read_if_changed(&mut self) -> Result<Option<KeySet>, KeyProblem> {
        let text = self.read()?;
        if digest(&SHA256, &text).as_ref() == self.seen {
            return Ok(None);
        }
        self.take(&text).map(Some)
    }

    fn take(&mut self, text: &[u8]) -> Result<KeySet, KeyProblem> {
        // Also of a text that is no key set: it need not be told of twice.
        self.seen.copy_from_slice(digest(&SHA256, text).as_ref());
        match self.form {
            Form::Pem => {
                let key = Key::from_pem(text);
                let key = key.map_err(|source| KeyProblem::Key { path: self.path.clone(), source })?;
                Ok(KeySet::new(vec![key]))
            }
            Form::Jwks => KeySet::from_jwks(text, Origin::Local)
                .map_err(|source| KeyProblem::Jwks { path: self.path.clone(), source }),
        }
    }

    fn read(&self) -> Result<Vec<u8>, KeyProblem> {
        read(&self.path).map_err(|source| KeyProblem::Unreadable { path: self.path.clone(), source })
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Looked at before it is opened: opening a pipe could wait for ever.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::other(format!("longer than {} MiB", LONGEST >> 20)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &str =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn open(path: &Path) -> Result<(KeyFile, KeySet), KeyProblem> {
        KeyFile::open(&config::KeySource::JwksFile(path.to_owned())).expect("keys in a file")
    }

    #[test]
    fn a_text_is_taken_once_whether_it_is_good_or_bad() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        std::fs::write(&path, SET).unwrap();
        let (mut file, set) = open(&path).unwrap();
        assert_eq!(set.keys().len(), 1);
        assert!(file.read_if_changed().unwrap().is_none());
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(file.read_if_changed(), Err(KeyProblem::Jwks { .. })));
        assert!(file.read_if_changed().unwrap().is_none(), "told already");
        std::fs::write(&path, SET).unwrap();
        assert!(file.read_if_changed().unwrap().is_some());
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(file.read_if_changed(), Err(KeyProblem::Unreadable { .. })));
    }

    #[test]
    fn only_a_regular_file_of_bounded_length_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(open(folder.path()), Err(KeyProblem::Unreadable { .. })));
        let path = folder.path().join("endless");
        File::create(&path).unwrap().set_len(LONGEST + 1).unwrap();
        assert!(matches!(open(&path), Err(KeyProblem::Unreadable { .. })));
    }
}
