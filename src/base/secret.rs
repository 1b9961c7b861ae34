//! Bytes that must never be printed.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use zeroize::Zeroizing;

/// A secret: it prints as `[redacted]`, is wiped from memory when dropped, and is read only
/// through [`Secret::expose`], so that each use can be found.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Secret {
    /// Takes as long for any other secret of the same length.
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Secret {}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// A secret, or where it is whenever it is needed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretSource {
    /// Known from the start.
    Value(Secret),
    /// In a file, which may change: one newline at the end is no part of it.
    File(PathBuf),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_compared_whole() {
        for other in ["", "hunter", "hunter3", "hunter22"] {
            assert_ne!(Secret::new("hunter2"), Secret::new(other), "{other}");
        }
        assert_eq!(Secret::new("hunter2"), Secret::new("hunter2"));
    }

    #[test]
    fn never_prints_its_bytes() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:#?}", Some(&secret)),
            "[redacted] [redacted] Some(\n    [redacted],\n)"
        );
    }
}
