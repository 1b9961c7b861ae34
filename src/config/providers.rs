//! `providers:`: the parties whose tokens are taken.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::base::{Algorithm, AlgorithmSet, KeyFamily, ProviderName, parse_date_or_time};

use super::claim_rules::{audiences, authorized_parties, required_claims, token_type, typ};
use super::introspection;
use super::issuer_rule::{self, WrittenIssuer};
use super::mistake::MistakeKind;
use super::model::{
    Audiences, Introspection, IssuerRule, KeySource, OwnTokenRules, Provider, RequiredClaim, TokenRules,
    Until,
};
use super::remote_keys;
use super::value::parts;
use super::walk::{Node, Section};

/// More is no difference between clocks but a way to use old tokens.
const LONGEST_LEEWAY: Duration = Duration::from_secs(3600);
const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
const AGES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3650 * 86400);

/// All providers of the file; one that can't be read is still known by name.
#[derive(Debug, Default)]
pub(super) struct Providers<'r> {
    names: Vec<&'r str>,
    read: Vec<Option<Provider>>,
}

impl<'r> Providers<'r> {
    /// Their names, in the order of the file.
    pub(super) fn names(&self) -> &[&'r str] {
        &self.names
    }

    /// One of them, unless it could not be read.
    pub(super) fn get(&self, index: usize) -> Option<&Provider> {
        self.read.get(index)?.as_ref()
    }

    /// Adds what the issuer says of its tokens to the provider with the gateway's own keys.
    pub(super) fn own_tokens_are(&mut self, rules: &OwnTokenRules) {
        for provider in self.read.iter_mut().flatten() {
            if matches!(provider.keys, KeySource::Own) {
                provider.rules.own = Some(rules.clone());
            }
        }
    }

    /// The one with the gateway's own keys.
    pub(super) fn own(&self) -> Option<&Provider> {
        self.read.iter().flatten().find(|provider| matches!(provider.keys, KeySource::Own))
    }

    /// Whether each of them could be read.
    pub(super) fn all_read(&self) -> bool {
        self.read.iter().all(Option::is_some)
    }

    /// Those whose refresh tokens the issuer exchanges.
    pub(super) fn exchanged(&self) -> Vec<Provider> {
        let exchanged = |provider: &&Provider| provider.rules.exchange_refresh_tokens;
        self.read.iter().flatten().filter(exchanged).cloned().collect()
    }

    /// All of them, unless one could not be read.
    pub(super) fn all(self) -> Option<Vec<Provider>> {
        self.read.into_iter().collect()
    }
}

/// What the built-in issuer, if there is one, says about the tokens that it signs.
#[derive(Debug, Clone, Copy)]
pub(super) enum OwnTokens {
    /// There is no `issuer:`.
    None,
    /// There is one, with mistakes.
    Unknown,
    /// It signs with this.
    SignedWith(Algorithm),
}

/// Reads `providers:`.
pub(super) fn read<'r>(node: &Node<'r>, own_tokens: OwnTokens) -> Option<Providers<'r>> {
    let mut providers = Providers::default();
    let mut own: Option<&str> = None;
    for (name, node) in parts(node)? {
        providers.names.push(name);
        providers.read.push(provider(&node, name, &mut own, own_tokens));
    }
    Some(providers)
}

fn provider<'r>(
    node: &Node<'r>,
    name: &'r str,
    own: &mut Option<&'r str>,
    own_tokens: OwnTokens,
) -> Option<Provider> {
    if node.peek("preset").is_some() {
        // It could not be put into words, so the rest would be called incomplete.
        return None;
    }
    node.section(|section| {
        // Where it can be put into words it is not there any more.
        let _ = section.key("preset");
        // What they mean, the kind of keys decides.
        let _ = (section.key("refresh"), section.key("fetch"));
        let issuer = match section.key("issuer") {
            Some(node) => issuer_rule::issuer(&node),
            // The endpoint answers for its own tokens, whatever they are called.
            None if section.key("introspection").is_some() => Some(WrittenIssuer::Any),
            None => node.refuse_key(MistakeKind::Missing("issuer"), None),
        };
        let required_claims = section.optional("required_claims", required_claims).unwrap_or_default();
        if let Some(node) = section.key("introspection") {
            let issuer = issuer_rule::read(section, issuer, &required_claims);
            return introspected(section, name, issuer, required_claims, introspection::read(&node, section));
        }
        let keys = match section.key("keys") {
            Some(node) => keys(&node, section, issuer.as_ref()),
            None => node.refuse_key(MistakeKind::Missing("keys"), None),
        };
        let issuer = issuer_rule::read(section, issuer, &required_claims);
        let is_own = keys.as_ref().is_some_and(|keys| matches!(keys.source, KeySource::Own));
        if is_own {
            check_own(section, *own, issuer.as_ref(), own_tokens);
            own.get_or_insert(name);
        }
        if let Some(node) = section.key("exchange_refresh_tokens") {
            check_exchange(&node, keys.as_ref(), own_tokens);
        }
        let algorithms = algorithms(section, keys.as_ref(), own_tokens);
        let audiences = audiences(section, is_own);
        let leeway = section
            .optional("leeway", |node| node.duration(Duration::ZERO..=LONGEST_LEEWAY))
            .unwrap_or(if is_own { Duration::ZERO } else { DEFAULT_LEEWAY });
        let token_type = section
            .optional("token_type", |node| token_type(node, is_own))
            .or_else(|| is_own.then(|| "access".to_owned()));
        let rules = TokenRules { typ: section.optional("typ", typ).unwrap_or_default(), ..rules(section) };
        Some(Provider {
            name: ProviderName::new(name),
            issuer: issuer?,
            keys: keys?.source,
            algorithms: algorithms?,
            audiences: audiences?,
            leeway,
            required_claims,
            token_type,
            rules,
        })
    })
}

/// A provider that is asked about its tokens. Whom they are meant for may be left to it: it knows who asks.
fn introspected(
    section: &Section<'_, '_>,
    name: &str,
    issuer: Option<IssuerRule>,
    required_claims: Vec<RequiredClaim>,
    introspection: Option<Introspection>,
) -> Option<Provider> {
    if let Some(node) = section.key("exchange_refresh_tokens") {
        let kind = MistakeKind::NoEffect("without keys of another issuer in the file");
        node.refuse_key::<()>(kind, None);
    }
    let audiences = match section.key("audiences") {
        Some(_) => audiences(section, false),
        None => {
            section.node().warn("without `audiences` its tokens for other applications are taken too, unless it refuses them itself");
            Some(Audiences::Any)
        }
    };
    let leeway = section.optional("leeway", |node| node.duration(Duration::ZERO..=LONGEST_LEEWAY));
    let rules = rules(section);
    Some(Provider {
        name: ProviderName::new(name),
        issuer: issuer?,
        keys: KeySource::Introspection(Box::new(introspection?)),
        algorithms: AlgorithmSet::EMPTY,
        audiences: audiences?,
        leeway: leeway.unwrap_or(DEFAULT_LEEWAY),
        required_claims,
        token_type: None,
        rules,
    })
}

/// Those rules that all kinds of providers have.
fn rules(section: &Section<'_, '_>) -> TokenRules {
    TokenRules {
        typ: Vec::new(),
        authorized_parties: section.optional("authorized_parties", authorized_parties).unwrap_or_default(),
        until: section.optional("until", until),
        exchange_refresh_tokens: section.optional("exchange_refresh_tokens", Node::boolean).unwrap_or(false),
        max_age: section.optional("max_age", |node| node.duration(AGES)),
        max_lifetime: section.optional("max_lifetime", |node| node.duration(AGES)),
        own: None,
    }
}

/// Only with keys of the file is it certain that whose tokens they are could always log its users in here.
fn check_exchange(node: &Node<'_>, keys: Option<&Keys<'_>>, own_tokens: OwnTokens) {
    match keys.map(|keys| &keys.source) {
        Some(KeySource::Own | KeySource::Remote(_)) => {
            node.refuse_key::<()>(MistakeKind::NoEffect("without keys of another issuer in the file"), None);
        }
        _ if matches!(own_tokens, OwnTokens::None) => {
            node.refuse_key::<()>(MistakeKind::NoEffect("without `issuer`"), None);
        }
        _ => {}
    }
}

fn until(node: &Node<'_>) -> Option<Until> {
    let expected = "a date such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z";
    let at = node.parse(expected, parse_date_or_time)?;
    Some(Until { at, place: node.place() })
}

fn check_own(
    section: &Section<'_, '_>,
    own: Option<&str>,
    issuer: Option<&IssuerRule>,
    own_tokens: OwnTokens,
) {
    let Some(node) = section.key("keys") else { return };
    if let Some(other) = own {
        node.refuse::<()>(MistakeKind::SecondOwn(other.to_owned()));
    }
    if let (Some(IssuerRule::OneOf(_) | IssuerRule::Tenants(_)), Some(issuer)) =
        (issuer, section.key("issuer"))
    {
        issuer.expected::<()>("the one name that the gateway's own tokens have");
    }
    if matches!(own_tokens, OwnTokens::None) {
        node.refuse_with::<()>(
            MistakeKind::OwnWithoutIssuer,
            "add `issuer: {}` for the defaults, or take the keys from elsewhere",
        );
    }
}

/// `keys:` and where to point when they do not fit the algorithms.
struct Keys<'r> {
    source: KeySource,
    node: Node<'r>,
    allow_short: bool,
}

/// `provider` is the section that they stand in, `issuer` what it says of the issuer.
fn keys<'r>(node: &Node<'r>, provider: &Section<'_, 'r>, issuer: Option<&WrittenIssuer>) -> Option<Keys<'r>> {
    node.section(|section| {
        let allow_short = section.key("allow_short");
        let sources = ["own", "discovery", "jwks_url", "pem_file", "jwks_file", "jwks", "secret"];
        let given: Vec<(&str, Node<'r>)> =
            sources.into_iter().filter_map(|name| Some((name, section.key(name)?))).collect();
        let mut given = given.into_iter();
        let first = given.next();
        for (_, node) in given {
            let other = first.as_ref().map_or("", |(name, _)| name);
            node.refuse_key::<()>(MistakeKind::Conflict(format!("{other:?}")), None);
        }
        let Some((name, node)) = first else {
            let expected = "one of own, discovery, jwks_url, pem_file, jwks_file, jwks and secret".to_owned();
            return section
                .node()
                .refuse_key(MistakeKind::Expected { expected, found: "none of them".to_owned() }, None);
        };
        if let Some(allow_short) = allow_short.as_ref().filter(|_| name != "secret") {
            allow_short.refuse_key::<()>(MistakeKind::NoEffect("without a secret"), None);
        }
        let allow_short = allow_short.and_then(|node| node.boolean()).unwrap_or(false);
        let location = match name {
            "discovery" => Some(remote_keys::discovery(&node, issuer)),
            "jwks_url" => Some(remote_keys::jwks_url(&node, issuer)),
            _ => None,
        };
        let source = match location {
            Some(location) => remote_keys::read(provider, location, &node),
            None => {
                remote_keys::refuse(provider);
                local_source(name, &node)
            }
        };
        Some(Keys { source: source?, node, allow_short })
    })
}

fn local_source(name: &str, node: &Node<'_>) -> Option<KeySource> {
    match name {
        "own" => {
            if node.boolean()? {
                Some(KeySource::Own)
            } else {
                node.expected("true")
            }
        }
        "pem_file" => Some(KeySource::PemFile(node.file_path("the path of a PEM file")?)),
        "jwks_file" => Some(KeySource::JwksFile(node.file_path("the path of a JWK set")?)),
        "jwks" => Some(KeySource::Jwks(node.jwks()?)),
        _ => Some(KeySource::Secret(node.secret()?)),
    }
}

fn algorithms(
    section: &Section<'_, '_>,
    keys: Option<&Keys<'_>>,
    own_tokens: OwnTokens,
) -> Option<AlgorithmSet> {
    let own = match (keys.map(|keys| &keys.source), own_tokens) {
        (Some(KeySource::Own), OwnTokens::SignedWith(algorithm)) => Some(algorithm),
        (Some(KeySource::Own), OwnTokens::None | OwnTokens::Unknown) => {
            // What the issuer signs with is not known, so the list can only be read.
            section.optional("algorithms", |node| node.list(Node::algorithm));
            return None;
        }
        _ => None,
    };
    let Some(node) = section.key("algorithms") else {
        return match own {
            Some(algorithm) => Some(AlgorithmSet::EMPTY.with(algorithm)),
            // A key serves one family, or what its own `alg` says; a fetched one is never a secret.
            None if keys.is_some_and(|keys| is_fetched(&keys.source)) => {
                Some(Algorithm::ALL.into_iter().filter(|algorithm| !is_hmac(*algorithm)).collect())
            }
            // Keys with a mistake might say it themselves.
            None if keys.is_none() => None,
            None => section.node().refuse_key(
                MistakeKind::Missing("algorithms"),
                Some("name the algorithms that its tokens are signed with, e.g. [RS256]".to_owned()),
            ),
        };
    };
    let algorithms = node.filled_list("at least one algorithm", |node| {
        let algorithm = node.algorithm()?;
        check_family(node, algorithm, keys.map(|keys| &keys.source), own)
    })?;
    refuse_repeated(&node, &algorithms);
    if let Some(own) = own.filter(|own| !algorithms.contains(own)) {
        return node.refuse(MistakeKind::OwnAlgorithmMissing(own));
    }
    if let Some(Keys { source: KeySource::Secret(secret), node, allow_short }) = keys {
        node.check_hmac_secret(secret, algorithms.iter().copied(), *allow_short)?;
    }
    Some(algorithms.into_iter().collect())
}

fn is_fetched(source: &KeySource) -> bool {
    matches!(source, KeySource::Remote(_) | KeySource::RemoteByTenant(_))
}

fn is_hmac(algorithm: Algorithm) -> bool {
    algorithm.family() == KeyFamily::Hmac
}

/// A key must serve one family of algorithms only (RFC 8725, section 3.1).
fn check_family(
    node: &Node<'_>,
    algorithm: Algorithm,
    source: Option<&KeySource>,
    own: Option<Algorithm>,
) -> Option<Algorithm> {
    let (fits, keys) = match source {
        Some(KeySource::Secret(_)) => (is_hmac(algorithm), "a secret".to_owned()),
        Some(KeySource::PemFile(_)) => (!is_hmac(algorithm), "a public key".to_owned()),
        // A secret that everybody can fetch is none.
        Some(KeySource::Remote(_) | KeySource::RemoteByTenant(_)) => {
            (!is_hmac(algorithm), "keys that are fetched".to_owned())
        }
        Some(KeySource::Own) => {
            let fits = own.is_none_or(|own| is_hmac(own) == is_hmac(algorithm));
            let signed_with = own.map_or("", Algorithm::name);
            (fits, format!("the issuer's keys, which are for {signed_with}"))
        }
        Some(KeySource::JwksFile(_) | KeySource::Jwks(_) | KeySource::Introspection(_)) | None => {
            (true, String::new())
        }
    };
    if fits { Some(algorithm) } else { node.refuse(MistakeKind::AlgorithmFamily { algorithm, keys }) }
}

/// Refuses each item that stands in the list before. `values` are those of all items.
pub(super) fn refuse_repeated<T: PartialEq>(node: &Node<'_>, values: &[T]) {
    for (index, (item, value)) in node.items().iter().zip(values).enumerate() {
        if values[..index].contains(value) {
            item.refuse::<()>(MistakeKind::Repeated(item.shown()));
        }
    }
}
