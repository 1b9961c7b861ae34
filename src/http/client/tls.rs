//! Whom the client trusts.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Whom to trust can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// The file is missing or no PEM.
    #[error("can't read {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// The file holds no certificate that can be trusted.
    #[error("{} holds no certificate of an authority", .0.display())]
    NoCertificate(PathBuf),
    /// The cryptographic provider refuses.
    #[error("TLS can't be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// For the authorities of a file alone, or for those that the system trusts.
///
/// # Errors
/// Where the file can't be read or holds no certificate.
pub fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, ClientTlsError> {
    /// Reading a hundred and more certificates takes milliseconds: once is enough, however many clients there are.
    static OF_SYSTEM: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let Some(path) = ca else {
        if let Some(config) = OF_SYSTEM.get() {
            return Ok(Arc::clone(config));
        }
        let config = config(system_roots())?;
        return Ok(Arc::clone(OF_SYSTEM.get_or_init(|| config)));
    };
    let unreadable = |source| ClientTlsError::Unreadable { path: path.to_owned(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        // One that is no authority's is as if it were not there.
        let _ = roots.add(certificate.map_err(unreadable)?);
    }
    if roots.is_empty() {
        return Err(ClientTlsError::NoCertificate(path.to_owned()));
    }
    config(roots)
}

/// None of them is no mistake of the file: a gateway whose providers have their own `ca` needs none, and the others'
/// fetches say what is wrong.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!(errors = ?found.errors, "the system names no authority to trust");
    }
    roots
}

fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, ClientTlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
