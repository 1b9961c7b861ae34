//! The providers of the file, with the keys that are at hand.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderValue;

use super::clock_skew::TokenAges;
use super::introspection::Introspection;
use super::key_file::KeyFile;
use super::remote::Remote;
use super::source::{KeySource, KeySourceId};
use super::tenants::Tenants;
use super::{Provider, fetcher};
use crate::base::{Algorithm, AlgorithmSet, ProviderName, ShortText};
use crate::config::{self, IssuerRule};
use crate::http::client::ClientTlsError;
use crate::jwt::{JwksError, Key, KeyError, KeySet, Origin, Policy};

/// Loads the keys of every provider of the file. `own` are the issuer's keys.
///
/// # Errors
/// The first provider whose keys can't be loaded.
pub fn load(
    providers: &[config::Provider],
    own: Option<&Arc<KeySet>>,
) -> Result<Vec<Arc<Provider>>, ProviderError> {
    let mut sources: HashMap<SharedSource, Arc<KeySource>> = HashMap::new();
    let mut all_tenants: HashMap<SharedTenants, Arc<Tenants>> = HashMap::new();
    let mut loaded = Vec::with_capacity(providers.len());
    for (index, provider) in providers.iter().enumerate() {
        let fail = |problem| ProviderError { provider: provider.name.clone(), problem };
        let shared = SharedSource::of(&provider.keys);
        let known = shared.as_ref().and_then(|shared| sources.get(shared).cloned());
        let keys = match known {
            Some(source) => source,
            None => {
                let source = Arc::new(open(KeySourceId(index), provider, own).map_err(fail)?);
                if let Some(shared) = shared {
                    sources.insert(shared, Arc::clone(&source));
                }
                source
            }
        };
        let introspection = match &provider.keys {
            config::KeySource::Introspection(file) => {
                let introspection = Introspection::new(&provider.name, file);
                Some(Arc::new(introspection.map_err(|error| fail(error.into()))?))
            }
            _ => None,
        };
        let tenants = match SharedTenants::of(provider) {
            Some((shared, issuers, keys)) => Some(match all_tenants.get(&shared) {
                Some(tenants) => Arc::clone(tenants),
                None => {
                    let tenants = Tenants::new(KeySourceId(index), provider, issuers, keys);
                    let tenants = Arc::new(tenants.map_err(|error| fail(error.into()))?);
                    all_tenants.insert(shared, Arc::clone(&tenants));
                    tenants
                }
            }),
            None => None,
        };
        let has_keys = keys.remote.is_none() && introspection.is_none() && tenants.is_none();
        let serves = |key: &Arc<Key>| !key.algorithms().intersection(provider.algorithms).is_empty();
        if has_keys && !keys.keys().keys().iter().any(serves) {
            return Err(fail(KeyProblem::NoKeyForAlgorithms(provider.algorithms)));
        }
        loaded.push(Arc::new(Provider {
            name: provider.name.clone(),
            index,
            issuer: provider.issuer.clone(),
            issuer_header: match &provider.issuer {
                IssuerRule::Exactly(issuer) => HeaderValue::from_str(issuer).ok(),
                IssuerRule::OneOf(issuers) => {
                    issuers.first().and_then(|issuer| HeaderValue::from_str(issuer).ok())
                }
                IssuerRule::Tenants(_) | IssuerRule::Any => None,
            },
            algorithms: provider.algorithms,
            policy: Policy::new(provider),
            leeway: provider.leeway,
            token_ages: TokenAges::new(),
            keys,
            tenants,
            introspection,
        }));
    }
    Ok(loaded)
}

/// What makes the sources of two providers one.
#[derive(PartialEq, Eq, Hash)]
enum SharedSource {
    File(PathBuf),
    Remote(Box<config::RemoteKeys>),
}

impl SharedSource {
    fn of(keys: &config::KeySource) -> Option<Self> {
        match keys {
            config::KeySource::PemFile(path) | config::KeySource::JwksFile(path) => {
                Some(Self::File(path.clone()))
            }
            config::KeySource::Remote(keys) => Some(Self::Remote(keys.clone())),
            config::KeySource::RemoteByTenant(_)
            | config::KeySource::Own
            | config::KeySource::Jwks(_)
            | config::KeySource::Secret(_)
            | config::KeySource::Introspection(_) => None,
        }
    }
}

/// What makes the tenants of two providers the same ones. Which of them each takes is its own.
#[derive(PartialEq, Eq, Hash)]
struct SharedTenants {
    patterns: Vec<config::TenantPattern>,
    keys: config::TenantKeys,
    max: u32,
}

impl SharedTenants {
    fn of(provider: &config::Provider) -> Option<(Self, &config::Tenants, &config::TenantKeys)> {
        let (IssuerRule::Tenants(issuers), config::KeySource::RemoteByTenant(keys)) =
            (&provider.issuer, &provider.keys)
        else {
            return None;
        };
        let shared = Self { patterns: issuers.patterns.clone(), keys: (**keys).clone(), max: issuers.max };
        Some((shared, issuers, keys))
    }
}

fn open(
    id: KeySourceId,
    provider: &config::Provider,
    own: Option<&Arc<KeySet>>,
) -> Result<KeySource, KeyProblem> {
    if let Some(opened) = KeyFile::open(&provider.keys) {
        let (file, set) = opened?;
        fetcher::tell_skipped(&provider.name, &set, &[]);
        return Ok(KeySource::in_file(id, file, set));
    }
    match &provider.keys {
        config::KeySource::Remote(keys) => Ok(KeySource::remote(id, Remote::new(provider, keys)?)),
        _ => Ok(KeySource::local(id, local_keys(provider, own)?)),
    }
}

fn local_keys(provider: &config::Provider, own: Option<&Arc<KeySet>>) -> Result<Arc<KeySet>, KeyProblem> {
    match &provider.keys {
        config::KeySource::PemFile(_)
        | config::KeySource::JwksFile(_)
        | config::KeySource::Remote(_)
        | config::KeySource::RemoteByTenant(_)
        | config::KeySource::Introspection(_) => Ok(Arc::new(KeySet::new(Vec::new()))),
        config::KeySource::Own => own.cloned().ok_or(KeyProblem::NoIssuer),
        config::KeySource::Jwks(set) => {
            let set = KeySet::from_jwks(set.expose(), Origin::Local).map_err(KeyProblem::InlineJwks)?;
            for skipped in set.skipped() {
                let kid = skipped.kid.as_ref().map(ShortText::as_str);
                tracing::warn!(provider = %provider.name, kid, "skipped a key: {}", skipped.why);
            }
            Ok(Arc::new(set))
        }
        config::KeySource::Secret(secret) => {
            let key = Key::hmac(secret, None, provider.algorithms).map_err(KeyProblem::Secret)?;
            Ok(Arc::new(KeySet::new(vec![key])))
        }
    }
}

/// A provider's keys can't be loaded.
#[derive(Debug, thiserror::Error)]
#[error("providers.{provider}.keys: {problem}")]
pub struct ProviderError {
    provider: ProviderName,
    problem: KeyProblem,
}

/// What is wrong with a provider's keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyProblem {
    /// The file can't be read.
    #[error("can't read {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds no usable key.
    #[error("{}: {source}", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// The secret is no usable key.
    #[error("the secret can't be used: {0}")]
    Secret(KeyError),
    /// The file holds no key set.
    #[error("{}: {source}", path.display())]
    Jwks {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: JwksError,
    },
    /// The file's own set is none.
    #[error("{0}")]
    InlineJwks(JwksError),
    /// No key fits any algorithm that the provider allows.
    #[error("no key serves any of the provider's algorithms ({})", list(*.0))]
    NoKeyForAlgorithms(AlgorithmSet),
    /// Whom to trust with the keys, or the gateway's own certificate, can't be read.
    #[error("fetch: {0}")]
    Trust(#[from] ClientTlsError),
    /// `own: true` without an issuer.
    #[error("there is no issuer whose keys these could be")]
    NoIssuer,
}

fn list(algorithms: AlgorithmSet) -> String {
    algorithms.iter().map(Algorithm::name).collect::<Vec<_>>().join(", ")
}
