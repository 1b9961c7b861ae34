//! What `development: true` makes at start if it is missing: a certificate authority, a certificate, a user.
//!
//! Nothing here runs without that word in the file, and the file's reader takes the word only together with listeners
//! on loopback.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer as CertificateIssuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
    date_time_ymd,
};

use crate::base::Secret;
use crate::config::{Config, Users};
use crate::issuer::Issuer;
use crate::store::{NewUser, PasswordError, StoreError, UserAttributes};

/// The user that printed commands log in as.
pub(super) const DEMO_USER: &str = "demo";

/// Something that is missing can't be made.
#[derive(Debug, thiserror::Error)]
pub enum DevelopmentError {
    /// A file can't be written or read.
    #[error("can't make {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The certificate can't be made.
    #[error("can't make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The user can't be stored.
    #[error("can't make the user {DEMO_USER}: {0}")]
    Store(#[from] StoreError),
    /// Its password can't be hashed.
    #[error("can't make the user {DEMO_USER}: {0}")]
    Password(#[from] PasswordError),
}

/// Where the authority's certificate stands: beside the certificate that it signed.
pub(super) fn authority_path(certificate: &Path) -> PathBuf {
    certificate.with_file_name("ca.pem")
}

/// Where the demo user's password stands.
pub(super) fn password_path(config: &Config) -> PathBuf {
    config.state_directory.join("demo-password")
}

/// Makes authority and certificate for each TLS listener whose files are both missing.
pub(super) fn make_missing_certificates(config: &Config) -> Result<(), DevelopmentError> {
    let tls = config.server.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    for files in tls.flat_map(|tls| &tls.certificates) {
        if files.certificate.exists() || files.key.exists() {
            continue;
        }
        let (authority, certificate, key) = certificate_for_loopback()?;
        write_private(&files.key, &key)?;
        write(&files.certificate, &certificate, 0o644)?;
        write(&authority_path(&files.certificate), &authority, 0o644)?;
    }
    Ok(())
}

/// PEM texts of an authority, of a certificate that it signed, and of that one's key. The authority's own key is
/// forgotten: it can sign nothing more, and its names are constrained to this machine all the same.
fn certificate_for_loopback() -> Result<(String, String, String), DevelopmentError> {
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let mut authority = CertificateParams::default();
    authority.distinguished_name = common_name("Tollgate development authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.name_constraints = Some(NameConstraints {
        permitted_subtrees: std::iter::once(GeneralSubtree::DnsName("localhost".into()))
            .chain(loopback.map(|address| GeneralSubtree::IpAddress(host_only(address))))
            .collect(),
        excluded_subtrees: Vec::new(),
    });
    // A fixed span keeps the clock out of here; a forgotten key makes its length harmless.
    authority.not_before = date_time_ymd(2024, 1, 1);
    authority.not_after = date_time_ymd(2044, 1, 1);
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;

    let mut server = CertificateParams::new(vec!["localhost".to_owned()])?;
    server.subject_alt_names.extend(loopback.map(SanType::IpAddress));
    server.distinguished_name = common_name("localhost");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.not_before = date_time_ymd(2024, 1, 1);
    server.not_after = date_time_ymd(2044, 1, 1);
    let server_key = KeyPair::generate()?;
    let issuer = CertificateIssuer::new(authority, authority_key);
    let server_certificate = server.signed_by(&server_key, &issuer)?;
    Ok((authority_certificate.pem(), server_certificate.pem(), server_key.serialize_pem()))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn host_only(address: IpAddr) -> CidrSubnet {
    match address {
        IpAddr::V4(address) => CidrSubnet::from_v4_prefix(address.octets(), 32),
        IpAddr::V6(address) => CidrSubnet::from_v6_prefix(address.octets(), 128),
    }
}

/// Makes the demo user if there is none and users live in our own store, with a random password that stays in a file, so that printed commands work at
/// every start. Where the file is gone, the user gets a new password.
pub(super) async fn make_demo_user(
    config: &Config,
    issuer: Option<&Arc<Issuer>>,
) -> Result<(), DevelopmentError> {
    let lives_here = config.issuer.as_ref().is_some_and(|issuer| matches!(issuer.users, Users::Own));
    let Some(issuer) = issuer.filter(|_| lives_here) else { return Ok(()) };
    let users = issuer.own_users();
    let exists = users.user_by_name(DEMO_USER).await?.is_some();
    let path = password_path(config);
    let password = match std::fs::read_to_string(&path) {
        Ok(_) if exists => return Ok(()),
        Ok(password) => password,
        Err(error) if error.kind() == io::ErrorKind::NotFound => uuid::Uuid::new_v4().simple().to_string(),
        Err(source) => return Err(DevelopmentError::File { path, source }),
    };
    let hash = issuer.passwords().hash(Secret::new(password.trim_end())).await?;
    if exists {
        users.set_password(DEMO_USER, &hash).await?;
    } else {
        let user =
            NewUser { username: DEMO_USER.into(), password: hash, attributes: UserAttributes::default() };
        users.add_user(&user, super::clock::now()).await?;
    }
    // Written last: a start that was cut off before this line makes a new password at the next one.
    write_private(&path, &password)
}

fn write_private(path: &Path, text: &str) -> Result<(), DevelopmentError> {
    write(path, text, 0o600)
}

/// Writes a file; a new one gets this mode.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), DevelopmentError> {
    let written = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // An authority of an earlier certificate is of no use any more: only that may be replaced.
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())
    };
    written().map_err(|source| DevelopmentError::File { path: path.to_owned(), source })
}
