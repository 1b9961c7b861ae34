//! Whom the client trusts, and as whom it presents itself.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::ClientCertificate;

/// Whom to trust, or the client's own certificate, can't be read.
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
    /// The client's own certificate and key are none, or do not belong together.
    #[error("{} and {} can't be used: {problem}", certificate.display(), key.display())]
    OwnCertificate {
        /// The chain.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
        /// What is wrong.
        problem: Box<rustls::Error>,
    },
    /// The cryptographic provider refuses.
    #[error("TLS can't be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// For the authorities of a file alone, or for those that the system trusts.
///
/// # Errors
/// Where the file can't be read or holds no certificate.
pub fn client_config(
    ca: Option<&Path>,
    own: Option<&ClientCertificate>,
) -> Result<Arc<ClientConfig>, ClientTlsError> {
    /// Reading a hundred and more certificates takes milliseconds: once is enough, however many clients there are.
    static OF_SYSTEM: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let Some(path) = ca else {
        if own.is_some() {
            return config(system_roots(), own);
        }
        if let Some(config) = OF_SYSTEM.get() {
            return Ok(Arc::clone(config));
        }
        let config = config(system_roots(), None)?;
        return Ok(Arc::clone(OF_SYSTEM.get_or_init(|| config)));
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        // One that is no authority's is as if it were not there.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        return Err(ClientTlsError::NoCertificate(path.to_owned()));
    }
    config(roots, own)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientTlsError> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    certificates.map_err(|source| ClientTlsError::Unreadable { path: path.to_owned(), source })
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

fn config(
    roots: RootCertStore,
    own: Option<&ClientCertificate>,
) -> Result<Arc<ClientConfig>, ClientTlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let ClientCertificate { certificate, key } = own.clone();
            let chain = certificates(&certificate)?;
            let private = PrivateKeyDer::from_pem_file(&key);
            let private =
                private.map_err(|source| ClientTlsError::Unreadable { path: key.clone(), source })?;
            let config = builder.with_client_auth_cert(chain, private);
            config.map_err(|problem| {
                let problem = Box::new(problem);
                ClientTlsError::OwnCertificate { certificate, key, problem }
            })?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
