//! `fetch:` of a provider: as whom its server is asked, and on which way.

use std::path::PathBuf;

use http::Uri;

use crate::base::{Secret, SecretSource};

/// `fetch.proxy:` through which proxy the server is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EgressProxy {
    /// Nothing said: as the environment says.
    Environment(ProxyVariables),
    /// `none`, whatever the environment says.
    None,
    /// An `http://` URL with host and port.
    Through(Uri),
}

/// What the environment says of proxies, as it is written there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ProxyVariables {
    /// For `http://` URLs; may hold a password.
    pub http: Option<Secret>,
    /// For `https://` URLs; may hold a password.
    pub https: Option<Secret>,
    /// Hosts, networks and addresses to which no proxy leads; may be empty.
    pub no: String,
}

/// `fetch.credential:` what the server wants to see.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Credential {
    /// `bearer:` or `basic:`.
    pub kind: CredentialKind,
    /// `also_to:` servers beside the one that the file names which it is sent to, as URLs without a path.
    pub also_to: Vec<Uri>,
}

/// How `Authorization` says it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// `bearer:` a token.
    Bearer(SecretSource),
    /// `basic:` a name and its password.
    Basic {
        /// Without a colon.
        username: String,
        /// What proves it.
        password: SecretSource,
    },
}

/// `fetch.client_certificate:` what the gateway shows in a TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnCertificate {
    /// `certificate:` the chain in PEM.
    pub certificate: PathBuf,
    /// `key:` its private key in PEM.
    pub key: PathBuf,
}
