//! `issuer:` and `tenants:` of a provider: whose tokens are its own.

use std::collections::BTreeSet;

use super::mistake::MistakeKind;
use super::model::{AllowedTenants, ClaimValue, IssuerRule, RequiredClaim, Tenants};
use super::providers::refuse_repeated;
use super::tenant_pattern::{TenantPattern, TenantPlace};
use super::walk::{Node, Section};
use super::written::Value;

const DEFAULT_MAX: u32 = 1000;
const MOST_TENANTS: u64 = 100_000;

/// Issuers of which anybody can get a token, for himself at least. Not the tenants of a pattern, for which the same
/// holds.
const OPEN_TO_ALL: [&str; 3] =
    ["https://accounts.google.com", "accounts.google.com", "https://token.actions.githubusercontent.com"];
/// As above, of issuers with one part that differs.
const OPEN_BELOW: &str = "https://securetoken.google.com/";

/// `issuer:` by itself.
pub(super) enum WrittenIssuer {
    /// `any`.
    Any,
    /// One text, or spellings of it.
    Names(Vec<String>),
    /// Each with `{tenant}` in it.
    Patterns(Vec<TenantPattern>),
}

enum Item {
    Name(String),
    Pattern(TenantPattern),
}

/// Reads `issuer:`.
pub(super) fn issuer(node: &Node<'_>) -> Option<WrittenIssuer> {
    const EXPECTED: &str = "the issuer that its tokens name, or any";
    if matches!(node.value(), Value::Text(_)) && node.words(EXPECTED)? == "any" {
        return Some(WrittenIssuer::Any);
    }
    let items = node.filled_list("the issuer that its tokens name", |node| {
        let text = node.words(EXPECTED)?;
        if text == "any" {
            return node.refuse(MistakeKind::Conflict("a list".to_owned()));
        }
        if !text.contains(['{', '}']) {
            return Some(Item::Name(text));
        }
        match TenantPattern::parse(&text) {
            Ok(pattern) => Some(Item::Pattern(pattern)),
            Err(problem) => node.refuse(MistakeKind::Pattern { found: node.shown(), problem }),
        }
    })?;
    let (mut names, mut patterns) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            Item::Name(name) => names.push(name),
            Item::Pattern(pattern) => patterns.push(pattern),
        }
    }
    if patterns.is_empty() {
        refuse_repeated(node, &names);
        return Some(WrittenIssuer::Names(names));
    }
    if !names.is_empty() {
        // Of a name without a tenant nobody could say whose keys are meant.
        return node.expected("{tenant} in each issuer, or in none");
    }
    refuse_repeated(node, &patterns);
    Some(WrittenIssuer::Patterns(patterns))
}

/// Reads `tenants:` beside an issuer, where that could be read, and makes sure that strangers are kept out or asked in:
/// by tenants that are named, by a claim that tells one's own people from all others, or by the word `any`.
pub(super) fn read(
    section: &Section<'_, '_>,
    issuer: Option<WrittenIssuer>,
    required_claims: &[RequiredClaim],
) -> Option<IssuerRule> {
    let node = section.key("tenants");
    let has_claim = required_claims.iter().any(tells_people_apart);
    match issuer? {
        WrittenIssuer::Patterns(patterns) => {
            let by_tenant = section.key("keys").is_some_and(|keys| has_keys_of_tenants(&keys));
            let written = match &node {
                Some(node) => tenants(node, &patterns, by_tenant)?,
                None => Written::default(),
            };
            let allow = match written.allow {
                Some(allow) => allow,
                None if has_claim => AllowedTenants::Any,
                None => {
                    return strangers(
                        section,
                        "`tenants: { allow: [NAME] }` or a required claim with its values",
                    );
                }
            };
            let max = written.max.unwrap_or(DEFAULT_MAX);
            Some(IssuerRule::Tenants(Tenants { patterns, allow, max }))
        }
        WrittenIssuer::Names(mut names) => {
            let is_open = names.iter().any(|name| is_open(name));
            match &node {
                Some(node) if !is_open => {
                    node.refuse_key::<()>(MistakeKind::NoEffect("without {tenant} in the issuer"), None);
                }
                Some(node) => node.choice(&[("any", ())])?,
                None if is_open && !has_claim => {
                    return strangers(
                        section,
                        "a claim with its values, `required_claims: { CLAIM: [VALUE] }`",
                    );
                }
                None => {}
            }
            Some(match names.len() {
                1 => IssuerRule::Exactly(names.swap_remove(0)),
                _ => IssuerRule::OneOf(names),
            })
        }
        WrittenIssuer::Any => {
            if let Some(node) = node {
                node.refuse_key::<()>(MistakeKind::NoEffect("without {tenant} in the issuer"), None);
            }
            Some(IssuerRule::Any)
        }
    }
}

fn strangers(section: &Section<'_, '_>, what: &str) -> Option<IssuerRule> {
    let hint = format!("say whose tokens are meant by {what}, or write `tenants: any` to take all");
    let node = section.key("issuer")?;
    node.refuse_key(MistakeKind::Strangers, Some(hint))
}

fn is_open(issuer: &str) -> bool {
    OPEN_TO_ALL.contains(&issuer) || issuer.starts_with(OPEN_BELOW)
}

/// A claim of true or false, such as `email_verified`, is any stranger's too.
fn tells_people_apart(claim: &RequiredClaim) -> bool {
    claim.one_of.iter().any(|value| matches!(value, ClaimValue::Text(_)))
}

/// Whether each tenant has keys of its own, as far as `keys:` can be read.
fn has_keys_of_tenants(keys: &Node<'_>) -> bool {
    let Value::Map(entries) = keys.value() else { return true };
    entries.iter().any(|entry| match (entry.key.as_str(), &entry.value.value) {
        ("discovery", _) => true,
        ("jwks_url", Value::Text(url)) => url.contains("{tenant}"),
        _ => false,
    })
}

#[derive(Default)]
struct Written {
    allow: Option<AllowedTenants>,
    max: Option<u32>,
}

fn tenants(node: &Node<'_>, patterns: &[TenantPattern], by_tenant: bool) -> Option<Written> {
    if matches!(node.value(), Value::Text(_)) {
        node.choice(&[("any", ())])?;
        return Some(Written { allow: Some(AllowedTenants::Any), max: None });
    }
    node.section(|section| {
        let allow = section.key("allow").map(|node| allow(&node, patterns));
        let max = section.optional("max", |node| {
            if !by_tenant {
                return node.refuse_key(MistakeKind::NoEffect("on keys that all tenants share"), None);
            }
            u32::try_from(node.integer(1..=MOST_TENANTS)?).ok()
        });
        Some(Written { allow: allow.map_or(Some(None), |read| read.map(Some))?, max })
    })
}

fn allow(node: &Node<'_>, patterns: &[TenantPattern]) -> Option<AllowedTenants> {
    if matches!(node.value(), Value::Text(text) if text == "any") {
        return Some(AllowedTenants::Any);
    }
    let narrowest = patterns.iter().map(TenantPattern::place).find(|place| *place == TenantPlace::Host);
    let place = narrowest.unwrap_or(TenantPlace::Path);
    let tenants = node.filled_list("at least one tenant, or any", |node| {
        let tenant = node.words("the name of a tenant, or any")?;
        if tenant == "any" {
            return node.refuse(MistakeKind::Conflict("a list".to_owned()));
        }
        if place.takes(&tenant) { Some(tenant) } else { node.expected(place.rule()) }
    })?;
    refuse_repeated(node, &tenants);
    Some(AllowedTenants::Only(BTreeSet::from_iter(tenants)))
}
