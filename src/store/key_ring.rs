//! The folder of our own private keys: the newest signs, all verify.
//!
//! A key is one file, `<seconds since 1970>-<kid>.pem`. The time stands in the name since the file system's own
//! is lost when a folder is copied or restored; a file of another name, put there by hand, counts by its time
//! of modification. An old key leaves when its file is removed, after the tokens that it signed have expired.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::base::{Algorithm, KeyFamily, Secret, UnixTime};
use crate::jwt::{SigningError, SigningKey};

/// No private key is longer: RSA with 8192 bits takes 6.5 KiB.
const LONGEST: u64 = 64 << 10;

/// What a key that was found may be of, besides the algorithm that is configured.
const OTHERS: [Algorithm; 5] =
    [Algorithm::ES256, Algorithm::EdDSA, Algorithm::ES384, Algorithm::ES512, Algorithm::RS256];

/// The keys of one folder as they were when it was read.
pub struct KeyRing {
    /// Newest first.
    keys: Vec<SigningKey>,
    /// Which of them signs.
    signing: usize,
}

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// Folder or file can't be read or written.
    #[error("can't access {path}")]
    Access {
        /// Which.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// No key, or none for the algorithm that is configured.
    #[error("no {algorithm} key in {folder}: make one with `tollgate key generate`")]
    NoKey {
        /// Which folder.
        folder: String,
        /// What a key is needed for.
        algorithm: Algorithm,
    },
    /// Others than the owner may read the file: whoever did can sign tokens.
    #[error("{path} has mode {mode:03o}, so others can read this private key: `chmod 600` it, or replace it")]
    Exposed {
        /// Which file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is no private key that Tollgate can use.
    #[error("{path} is no private key for any algorithm of Tollgate (PKCS#8 in PEM, without passphrase)")]
    Unreadable {
        /// Which file.
        path: String,
    },
    /// No key of this kind can be made.
    #[error("can't make a key for {algorithm}")]
    Generate {
        /// For what.
        algorithm: Algorithm,
        /// Why not.
        source: SigningError,
    },
}

impl KeyRing {
    /// Reads the folder. The newest key that fits `algorithm` signs.
    ///
    /// # Errors
    /// [`KeyRingError`]; one file that can't be taken is an error, not a smaller ring.
    pub fn open(folder: &Path, algorithm: Algorithm) -> Result<Self, KeyRingError> {
        let mut files = pem_files(folder)?;
        files.sort_by(|a, b| (b.made_at, &b.path).cmp(&(a.made_at, &a.path)));
        let keys = files.iter().map(|file| read(&file.path, algorithm)).collect::<Result<Vec<_>, _>>()?;
        match keys.iter().position(|key| key.algorithm() == algorithm) {
            Some(signing) => Ok(Self { keys, signing }),
            None => Err(KeyRingError::NoKey { folder: folder.display().to_string(), algorithm }),
        }
    }

    /// Makes a key and adds it to the folder, which is made (0700) if it does not exist. It is the newest, whatever
    /// the clock says: by a second, where others were made in this one or later. Who has the ring open does not see
    /// it. Returns the file.
    ///
    /// # Errors
    /// [`KeyRingError::Generate`], [`KeyRingError::Access`].
    pub fn generate(folder: &Path, algorithm: Algorithm, now: UnixTime) -> Result<PathBuf, KeyRingError> {
        let key =
            SigningKey::generate(algorithm).map_err(|source| KeyRingError::Generate { algorithm, source })?;
        let (Some(pem), Some(kid)) = (key.to_pem(), key.kid()) else {
            return Err(KeyRingError::Generate { algorithm, source: SigningError::Failed });
        };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(access(folder))?;
        let newest = pem_files(folder)?.iter().map(|file| file.made_at).max();
        let made_at = newest.map_or(now.0, |newest| now.0.max(newest.saturating_add(1)));
        let path = folder.join(format!("{made_at}-{kid}.pem"));
        // Renamed when whole: a reader of the folder must never see half a key.
        let draft = path.with_extension("draft");
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| file.write_all(pem.expose()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&draft, &path))
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(access(&path))?;
        Ok(path)
    }

    /// The key that signs.
    #[must_use]
    pub fn signing_key(&self) -> &SigningKey {
        &self.keys[self.signing]
    }

    /// All keys, newest first.
    #[must_use]
    pub fn keys(&self) -> &[SigningKey] {
        &self.keys
    }

    /// The key that signs, and the others.
    #[must_use]
    pub fn into_parts(mut self) -> (SigningKey, Vec<SigningKey>) {
        let signing = self.keys.remove(self.signing);
        (signing, self.keys)
    }
}

struct PemFile {
    path: PathBuf,
    made_at: i64,
}

fn pem_files(folder: &Path) -> Result<Vec<PemFile>, KeyRingError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(access(folder)(source)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(access(folder))?.path();
        if path.extension().is_none_or(|extension| extension != "pem") {
            continue;
        }
        let metadata = fs::metadata(&path).map_err(access(&path))?;
        let made_at = time_in_name(&path).unwrap_or_else(|| metadata.mtime());
        files.push(PemFile { path, made_at });
    }
    Ok(files)
}

fn time_in_name(path: &Path) -> Option<i64> {
    path.file_stem()?.to_str()?.split_once('-')?.0.parse().ok()
}

fn read(path: &Path, algorithm: Algorithm) -> Result<SigningKey, KeyRingError> {
    let file = File::open(path).map_err(access(path))?;
    // Of the open file, not of the path: what was checked is what is read.
    let metadata = file.metadata().map_err(access(path))?;
    if is_exposed(&metadata) {
        return Err(KeyRingError::Exposed {
            path: path.display().to_string(),
            mode: metadata.mode() & 0o777,
        });
    }
    let mut pem = Zeroizing::new(Vec::with_capacity(8 << 10));
    file.take(LONGEST).read_to_end(&mut pem).map_err(access(path))?;
    let pem = Secret::new(pem.as_slice());
    let mut candidates = Vec::with_capacity(1 + OTHERS.len());
    if algorithm.family() != KeyFamily::Hmac {
        candidates.push(algorithm);
    }
    candidates.extend(OTHERS);
    candidates
        .into_iter()
        .find_map(|candidate| SigningKey::from_pem(candidate, &pem).ok())
        .ok_or_else(|| KeyRingError::Unreadable { path: path.display().to_string() })
}

/// PostgreSQL's rule: nobody but the owner, or root as the owner and a group that may read, as secrets are
/// mounted into containers.
fn is_exposed(metadata: &Metadata) -> bool {
    let allowed = if metadata.uid() == 0 { 0o740 } else { 0o700 };
    metadata.mode() & 0o777 & !allowed != 0
}

fn access(path: &Path) -> impl FnOnce(io::Error) -> KeyRingError {
    let path = path.display().to_string();
    move |source| KeyRingError::Access { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("keys");
        (outer, folder)
    }

    fn generate(folder: &Path, algorithm: Algorithm, time: i64) -> PathBuf {
        KeyRing::generate(folder, algorithm, UnixTime(time)).unwrap()
    }

    fn open(folder: &Path) -> Result<KeyRing, KeyRingError> {
        KeyRing::open(folder, Algorithm::ES256)
    }

    #[test]
    fn a_new_key_is_the_newest_even_where_the_clock_stood_still_or_went_back() {
        let (_outer, folder) = folder();
        for time in [1_700_000_000, 1_700_000_000, 1_600_000_000, 1_800_000_000, 1_800_000_000] {
            let made = generate(&folder, Algorithm::ES256, time);
            let ring = open(&folder).unwrap();
            assert!(made.to_str().unwrap().ends_with(&format!("-{}.pem", ring.signing_key().kid().unwrap())));
        }
    }

    #[test]
    fn the_newest_by_name_signs_whatever_the_file_system_says() {
        let (_outer, folder) = folder();
        generate(&folder, Algorithm::ES256, 1_700_000_001);
        let newest = generate(&folder, Algorithm::ES256, 1_700_000_002);
        let mut files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let old = files.find(|path| *path != newest).unwrap();
        fs::write(&old, fs::read(&old).unwrap()).unwrap();
        let ring = open(&folder).unwrap();
        assert_eq!(ring.keys().len(), 2);
        let kid = ring.signing_key().kid().unwrap().to_owned();
        assert_eq!(newest.file_name().unwrap().to_str().unwrap(), format!("1700000002-{kid}.pem"));
        let (signing, others) = ring.into_parts();
        assert_eq!((signing.kid(), others.len()), (Some(kid.as_str()), 1));
    }

    #[test]
    fn a_key_put_there_by_hand_counts_by_its_time_of_modification() {
        let (_outer, folder) = folder();
        let made = generate(&folder, Algorithm::ES256, 1_700_000_000);
        generate(&folder, Algorithm::ES256, 1_700_000_001);
        fs::rename(&made, folder.join("by-hand.pem")).unwrap();
        let ring = open(&folder).unwrap();
        assert!(made.to_str().unwrap().contains(ring.signing_key().kid().unwrap()));
    }

    #[test]
    fn a_newer_key_of_another_algorithm_verifies_but_does_not_sign() {
        let (_outer, folder) = folder();
        generate(&folder, Algorithm::ES256, 1_700_000_000);
        generate(&folder, Algorithm::EdDSA, 1_700_000_001);
        let ring = open(&folder).unwrap();
        assert_eq!(ring.signing_key().algorithm(), Algorithm::ES256);
        assert_eq!(ring.keys()[0].algorithm(), Algorithm::EdDSA);
    }

    #[test]
    fn without_a_key_it_says_how_to_make_one() {
        let (_outer, folder) = folder();
        let Err(error) = open(&folder) else { panic!("there is no folder") };
        assert!(error.to_string().contains("`tollgate key generate`"), "{error}");
        generate(&folder, Algorithm::EdDSA, 1_700_000_000);
        assert!(matches!(open(&folder), Err(KeyRingError::NoKey { .. })), "none for ES256");
    }

    #[test]
    fn refuses_a_key_that_others_can_read() {
        let (_outer, folder) = folder();
        let path = generate(&folder, Algorithm::ES256, 1_700_000_000);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        for mode in [0o644, 0o604, 0o660, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(open(&folder), Err(KeyRingError::Exposed { .. })), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(open(&folder).is_ok());
    }

    #[test]
    fn refuses_a_file_that_is_no_key_and_makes_none_for_hmac() {
        let (_outer, folder) = folder();
        let path = generate(&folder, Algorithm::ES256, 1_700_000_000);
        fs::write(&path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
        assert!(matches!(open(&folder), Err(KeyRingError::Unreadable { .. })));
        let made = KeyRing::generate(&folder, Algorithm::HS256, UnixTime(1));
        assert!(matches!(made, Err(KeyRingError::Generate { .. })));
    }

    #[test]
    fn other_files_are_passed_over() {
        let (_outer, folder) = folder();
        generate(&folder, Algorithm::ES256, 1_700_000_000);
        fs::write(folder.join("README"), "keys").unwrap();
        fs::write(folder.join("1700000001-x.draft"), "half a k").unwrap();
        assert_eq!(open(&folder).unwrap().keys().len(), 1);
    }
}
