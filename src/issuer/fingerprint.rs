//! The fingerprint of a stored password that SimpleJWT's `CHECK_REVOKE_TOKEN` puts into tokens: when the password is
//! changed, they end.

use md5::{Digest as _, Md5};

use crate::store::PasswordHash;

/// MD5 of the encoded hash, in upper-case hexadecimal digits. It guards no secret: what it digests is a salted hash
/// that nobody can guess, and a token's signature vouches for it.
pub(super) fn of(password: &PasswordHash) -> String {
    use std::fmt::Write as _;
    let digest = Md5::digest(password.as_stored().as_bytes());
    digest.iter().fold(String::with_capacity(32), |mut text, byte| {
        write!(text, "{byte:02X}").expect("a string takes every text");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_md5_of_the_whole_encoded_hash() {
        // RFC 1321, appendix A.5.
        let password = PasswordHash::from_stored("message digest".to_owned());
        assert_eq!(of(&password), "F96B697D7CB7938D525A2F31AAF161D0");
    }
}
