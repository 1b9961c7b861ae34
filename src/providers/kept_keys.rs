//! The last good key set of a source on disk, so that a restart while the provider is down still serves.
//!
//! The file names the issuer and the URL that its keys came from, and counts for no others; its age runs on while the
//! gateway does not run. What it holds is read as strictly as what a server sends.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::Uri;
use serde::{Deserialize, Serialize};

use crate::base::{ProviderName, UnixTime};
use crate::config::KeyLocation;

/// Beyond the key set itself: its escapes, and the rest of the file.
const ROOM: u64 = 64 * 1024;

/// A key set as it was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptSet {
    pub(super) url: Uri,
    pub(super) fetched: UnixTime,
    pub(super) text: Bytes,
}

/// The place of one source's file, and what the file must name.
#[derive(Debug, Clone)]
pub(super) struct KeptKeys {
    path: PathBuf,
    issuer: String,
    location: KeyLocation,
    longest: u64,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeptError {
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Unreadable(#[from] io::Error),
    /// Others can write it, or it is no file at all: then anybody's keys may be in it.
    #[error("others than its owner can write it")]
    Exposed,
    /// It is longer than any that was written.
    #[error("it is too long")]
    TooLong,
    /// It is in another form.
    #[error("it is malformed")]
    Malformed,
    /// It holds the keys of another issuer or place.
    #[error("it is of another issuer or URL")]
    Other,
    /// It claims to be from the future.
    #[error("it is from the future")]
    Future,
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    issuer: String,
    discovery: bool,
    url: String,
    fetched_at: i64,
    key_set: String,
}

const VERSION: u32 = 1;

impl KeptKeys {
    /// In the folder of the gateway's own files. `longest` is the longest key set, in bytes.
    pub(super) fn new(
        state_directory: &Path,
        name: &ProviderName,
        tenant: Option<&str>,
        issuer: &str,
        location: &KeyLocation,
        longest: u64,
    ) -> Self {
        let file = match tenant {
            None => format!("{name}.json"),
            // No name of a provider has an `@`, nor has a tenant's.
            Some(tenant) => format!("{name}@{tenant}.json"),
        };
        let path = state_directory.join("keys-cache").join(file);
        Self { path, issuer: issuer.to_owned(), location: location.clone(), longest }
    }

    /// Removes a set that is not needed any more. What can't be removed is not used either: it gets too old.
    pub(super) fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }

    /// Removes the sets of tenants that earlier runs kept, but for the `most` that were kept last.
    pub(super) fn thin_out(state_directory: &Path, name: &ProviderName, most: usize) {
        let Ok(entries) = std::fs::read_dir(state_directory.join("keys-cache")) else { return };
        let prefix = format!("{name}@");
        let mut files: Vec<_> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort_by(|(one, _), (other, _)| other.cmp(one));
        for (_, path) in files.into_iter().skip(most) {
            let _ = std::fs::remove_file(path);
        }
    }

    /// The file's own name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The set that was kept, if there is one.
    ///
    /// # Errors
    /// Where there is a file that can't be used.
    pub(super) fn read(&self, now: UnixTime) -> Result<Option<KeptSet>, KeptError> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.permissions().mode() & 0o022 != 0 {
            return Err(KeptError::Exposed);
        }
        let (mut bytes, longest) = (Vec::new(), self.longest * 2 + ROOM);
        file.take(longest + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > longest {
            return Err(KeptError::TooLong);
        }
        let Written { version, issuer, discovery, url, fetched_at, key_set } =
            serde_json::from_slice(&bytes).map_err(|_| KeptError::Malformed)?;
        let url: Uri = url.parse().map_err(|_| KeptError::Malformed)?;
        if version != VERSION || key_set.len() as u64 > self.longest {
            return Err(KeptError::Malformed);
        }
        let same_place = match &self.location {
            KeyLocation::Url(own) => !discovery && url == *own,
            KeyLocation::Discovery(_) => discovery,
        };
        if issuer != self.issuer || !same_place {
            return Err(KeptError::Other);
        }
        if fetched_at > now.0 {
            return Err(KeptError::Future);
        }
        Ok(Some(KeptSet { url, fetched: UnixTime(fetched_at), text: key_set.into() }))
    }

    /// Puts a set in the place of the one before. Where that fails none is kept: an old one could bring back a key that
    /// the provider has withdrawn.
    ///
    /// # Errors
    /// What failed; also where the old file could not be removed.
    pub(super) fn replace(&self, set: &KeptSet) -> io::Result<()> {
        let written = self.write(set);
        if written.is_err() {
            match std::fs::remove_file(&self.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        written
    }

    fn write(&self, set: &KeptSet) -> io::Result<()> {
        let written = Written {
            version: VERSION,
            issuer: self.issuer.clone(),
            discovery: matches!(self.location, KeyLocation::Discovery(_)),
            url: set.url.to_string(),
            fetched_at: set.fetched.0,
            key_set: String::from_utf8(set.text.to_vec()).map_err(io::Error::other)?,
        };
        let folder = self.path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let new = PathBuf::from(new);
        // Left over from a crash.
        let _ = std::fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(&written)?)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};

    const NOW: UnixTime = UnixTime(1000);

    fn kept(folder: &Path, issuer: &str, location: &str) -> KeptKeys {
        let location = match location {
            "discovery" => KeyLocation::Discovery(issuer.to_owned()),
            url => KeyLocation::Url(url.parse().unwrap()),
        };
        KeptKeys::new(folder, &ProviderName::new("idp"), None, issuer, &location, 64)
    }

    fn set() -> KeptSet {
        KeptSet {
            url: "https://a/keys".parse().unwrap(),
            fetched: UnixTime(900),
            text: Bytes::from_static(br#"{"keys":[]}"#),
        }
    }

    #[test]
    fn what_was_written_last_is_read() {
        let folder = tempfile::tempdir().unwrap();
        for location in ["https://a/keys", "discovery"] {
            let kept = kept(&folder.path().join("new/state"), "https://a", location);
            kept.replace(&set()).unwrap();
            let newer = KeptSet { fetched: UnixTime(950), ..set() };
            kept.replace(&newer).unwrap();
            assert_eq!(kept.read(NOW).unwrap(), Some(newer));
            assert_eq!(kept.path().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        let none = kept(folder.path(), "https://a", "discovery");
        assert_eq!(none.read(NOW).unwrap(), None);
    }

    #[test]
    fn a_file_of_another_issuer_or_place_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        kept(folder.path(), "https://a", "https://a/keys").replace(&set()).unwrap();
        for (issuer, location) in
            [("https://b", "https://a/keys"), ("https://a", "https://b/keys"), ("https://a", "discovery")]
        {
            let read = kept(folder.path(), issuer, location).read(NOW);
            assert!(matches!(read, Err(KeptError::Other)), "{issuer} {location}: {read:?}");
        }
    }

    #[test]
    fn a_file_that_anybody_could_have_made_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept(folder.path(), "https://a", "https://a/keys");
        kept.replace(&set()).unwrap();
        set_permissions(kept.path(), Permissions::from_mode(0o622)).unwrap();
        assert!(matches!(kept.read(NOW), Err(KeptError::Exposed)));
        set_permissions(kept.path(), Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(kept.read(UnixTime(899)), Err(KeptError::Future)));
        for text in ["", "{}", "[1]", "{\"version\":1", "\u{0}"] {
            std::fs::write(kept.path(), text).unwrap();
            assert!(matches!(kept.read(NOW), Err(KeptError::Malformed)), "{text}");
        }
        std::fs::write(kept.path(), vec![b' '; 128 * 1024]).unwrap();
        assert!(matches!(kept.read(NOW), Err(KeptError::TooLong)));
    }

    #[test]
    fn the_sets_of_tenants_are_thinned_out_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let name = ProviderName::new("idp");
        let location = KeyLocation::Url("https://a/keys".parse().unwrap());
        let of = |tenant| KeptKeys::new(folder.path(), &name, tenant, "https://a", &location, 64);
        let (own, first, second) = (of(None), of(Some("a")), of(Some("b.json")));
        for (kept, seconds) in [(&own, 1), (&first, 2), (&second, 3)] {
            kept.replace(&set()).unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            File::options().write(true).open(kept.path()).unwrap().set_modified(time).unwrap();
        }
        KeptKeys::thin_out(folder.path(), &ProviderName::new("id"), 0);
        KeptKeys::thin_out(folder.path(), &name, 1);
        assert_eq!([&own, &first, &second].map(|kept| kept.path().exists()), [true, false, true]);
        second.remove();
        assert!(!second.path().exists());
    }

    #[test]
    fn a_set_that_can_not_be_written_takes_the_old_one_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept(folder.path(), "https://a", "https://a/keys");
        kept.replace(&set()).unwrap();
        // No text that could be read back.
        let broken = KeptSet { text: Bytes::from_static(b"\xff"), ..set() };
        assert!(kept.replace(&broken).is_err());
        assert_eq!(kept.read(NOW).unwrap(), None);
    }
}
