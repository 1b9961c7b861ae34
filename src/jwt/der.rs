//! As much DER (X.690) as it takes to find a public key in a certificate or in its own wrapping, and to tell
//! its family. The key itself is read by aws-lc-rs.

use crate::base::KeyFamily;

use super::key::KeyError;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`: the version of a certificate.
const VERSION: u8 = 0xa0;

/// 1.2.840.113549.1.1.1, rsaEncryption.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.2.840.10045.2.1, id-ecPublicKey.
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.3.101.112, id-Ed25519 (RFC 8410).
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// 1.2.840.10045.3.1.7, secp256r1.
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// 1.3.132.0.34, secp384r1.
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
/// 1.3.132.0.35, secp521r1.
const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];

/// A public key out of its wrapping.
#[derive(Debug)]
pub(super) struct PublicKey<'d> {
    pub(super) family: KeyFamily,
    /// For RSA a PKCS#1 `RSAPublicKey`, else the point or the bytes of the curve.
    pub(super) key: &'d [u8],
}

/// Takes a `SubjectPublicKeyInfo` apart (RFC 5280, section 4.1.2.7).
pub(super) fn subject_public_key_info(der: &[u8]) -> Result<PublicKey<'_>, KeyError> {
    let mut outer = Reader(der);
    let mut info = Reader(outer.next(SEQUENCE)?);
    outer.end()?;
    let mut identifier = Reader(info.next(SEQUENCE)?);
    let bits = info.next(BIT_STRING)?;
    info.end()?;
    let family = match identifier.next(OBJECT_IDENTIFIER)? {
        RSA => KeyFamily::Rsa,
        ED25519 => KeyFamily::Ed25519,
        EC => match identifier.next(OBJECT_IDENTIFIER)? {
            P256 => KeyFamily::P256,
            P384 => KeyFamily::P384,
            P521 => KeyFamily::P521,
            _ => return Err(KeyError::UnknownFamily),
        },
        _ => return Err(KeyError::UnknownFamily),
    };
    // The first byte counts the bits that the last one lacks; a key has whole bytes.
    match bits.split_first() {
        Some((0, key)) => Ok(PublicKey { family, key }),
        _ => Err(KeyError::Rejected),
    }
}

/// Finds the `SubjectPublicKeyInfo` of a certificate (RFC 5280, section 4.1), wrapping included. Neither the
/// certificate's own signature nor its dates are looked at: whoever names the file trusts it.
pub(super) fn certificate_key(der: &[u8]) -> Result<&[u8], KeyError> {
    let mut outer = Reader(der);
    let mut certificate = Reader(outer.next(SEQUENCE)?);
    outer.end()?;
    let mut fields = Reader(certificate.next(SEQUENCE)?);
    if fields.0.first() == Some(&VERSION) {
        fields.next(VERSION)?;
    }
    fields.next(INTEGER)?; // serialNumber
    for _ in ["signature", "issuer", "validity", "subject"] {
        fields.next(SEQUENCE)?;
    }
    let from = fields.0;
    fields.next(SEQUENCE)?;
    Ok(&from[..from.len() - fields.0.len()])
}

struct Reader<'d>(&'d [u8]);

impl<'d> Reader<'d> {
    /// The content of the next element, which must have this tag.
    fn next(&mut self, tag: u8) -> Result<&'d [u8], KeyError> {
        let (&found, rest) = self.0.split_first().ok_or(KeyError::Rejected)?;
        let (&short, mut rest) = rest.split_first().ok_or(KeyError::Rejected)?;
        if found != tag {
            return Err(KeyError::Rejected);
        }
        let mut length = usize::from(short);
        if short >= 0x80 {
            // 0x80 itself is BER's indefinite length; above four bytes nothing is that long.
            let count = usize::from(short & 0x7f);
            if !(1..=4).contains(&count) {
                return Err(KeyError::Rejected);
            }
            let (digits, after) = rest.split_at_checked(count).ok_or(KeyError::Rejected)?;
            length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
            rest = after;
        }
        let (content, after) = rest.split_at_checked(length).ok_or(KeyError::Rejected)?;
        self.0 = after;
        Ok(content)
    }

    fn end(&self) -> Result<(), KeyError> {
        if self.0.is_empty() { Ok(()) } else { Err(KeyError::Rejected) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = subject_public_key_info(&bytes);
            let _ = certificate_key(&bytes);
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        for der in [
            &[0x30, 0x05, 0x00][..],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 0x80],
            &[0x30, 0x85],
            &[],
        ] {
            assert!(matches!(subject_public_key_info(der), Err(KeyError::Rejected)), "{der:?}");
        }
    }
}
