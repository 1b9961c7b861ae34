//! Public keys in PEM files (RFC 7468).

use aws_lc_rs::signature::RsaParameters;
use rustls_pki_types::pem::{PemObject as _, SectionKind};

use crate::base::{Algorithm, AlgorithmSet};

use super::der;
use super::key::KeyError;
use super::material::Material;

/// The one public key of the file, or that of its first certificate, for all algorithms of its family.
pub(super) fn public_key(pem: &[u8]) -> Result<Material, KeyError> {
    // The PEM reader passes over labels that it does not know, PKCS#1's among them. Both forms of a public key
    // are told apart by their content below.
    let text = String::from_utf8_lossy(pem).replace(" RSA PUBLIC KEY-----", " PUBLIC KEY-----");
    let (mut keys, mut certificates) = (Vec::new(), Vec::new());
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        match section.map_err(|_| KeyError::Rejected)? {
            (SectionKind::PublicKey, der) => keys.push(der),
            (SectionKind::Certificate, der) => certificates.push(der),
            (SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey, _) => {
                return Err(KeyError::PrivateKey);
            }
            _ => {}
        }
    }
    let all = Algorithm::ALL.into_iter().collect::<AlgorithmSet>();
    match (keys.as_slice(), certificates.first()) {
        ([], None) => Err(KeyError::NoKey),
        ([], Some(certificate)) => Material::subject_public_key_info(der::certificate_key(certificate)?, all),
        ([key], None) if RsaParameters::public_modulus_len(key).is_ok() => Material::rsa_public_key(key, all),
        ([key], None) => Material::subject_public_key_info(key, all),
        _ => Err(KeyError::SeveralKeys),
    }
}
