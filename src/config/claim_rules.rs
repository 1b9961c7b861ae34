//! What a provider asks of its tokens besides issuer and times: `audiences`, `authorized_parties`, `typ`,
//! `required_claims`, `token_type`.

use crate::base::ClaimPath;

use super::mistake::MistakeKind;
use super::model::{Audiences, ClaimValue, RequiredClaim};
use super::providers::refuse_repeated;
use super::token_typ::TokenTyp;
use super::walk::{Node, Section};
use super::written::Value;

const WHOM: &str = "name whom its tokens are meant for; `audiences: any` takes tokens meant for anybody";

/// `audiences:`. The gateway's own keys need none.
pub(super) fn audiences(section: &Section<'_, '_>, is_own: bool) -> Option<Audiences> {
    let Some(node) = section.key("audiences") else {
        if is_own {
            return Some(Audiences::Any);
        }
        return section.node().refuse_key(MistakeKind::Missing("audiences"), Some(WHOM.to_owned()));
    };
    if matches!(node.value(), Value::Map(_)) {
        let all = node.section(|section| section.required("all", audience_list))?;
        return Some(Audiences::AllOf(all));
    }
    if matches!(node.value(), Value::Text(_)) && node.text("an audience, or any")? == "any" {
        // Where it is said to whom they may have been issued, it is known for which applications they are.
        if !is_own && section.key("authorized_parties").is_none() {
            node.warn("tokens that this provider issues for other applications are taken too");
        }
        return Some(Audiences::Any);
    }
    audience_list(&node).map(Audiences::OneOf)
}

fn audience_list(node: &Node<'_>) -> Option<Vec<String>> {
    let audiences = node.filled_list("at least one audience, or any", |node| {
        let audience = node.words("an audience, or any")?;
        if audience == "any" {
            return node.refuse_with(
                MistakeKind::Conflict("a list".to_owned()),
                "write `audiences: any` to take tokens meant for anybody",
            );
        }
        Some(audience)
    })?;
    refuse_repeated(node, &audiences);
    Some(audiences)
}

/// `authorized_parties:`.
pub(super) fn authorized_parties(node: &Node<'_>) -> Option<Vec<String>> {
    let parties = node.filled_list("at least one client", |node| node.words("the name that a client has"))?;
    refuse_repeated(node, &parties);
    Some(parties)
}

/// `typ:`.
pub(super) fn typ(node: &Node<'_>) -> Option<Vec<TokenTyp>> {
    let typ = node.filled_list("at least one typ", |node| {
        let typ = TokenTyp::new(&node.words("a typ such as at+jwt")?);
        if typ.is_never_for_access() {
            return node.expected("the typ of access tokens, such as at+jwt");
        }
        Some(typ)
    })?;
    refuse_repeated(node, &typ);
    Some(typ)
}

/// `required_claims:` names of claims, and `{ CLAIM: [VALUE] }` for those that must have one of some values.
pub(super) fn required_claims(node: &Node<'_>) -> Option<Vec<RequiredClaim>> {
    let mut claims: Vec<RequiredClaim> = Vec::new();
    let mut all_read = true;
    for item in node.items() {
        if matches!(item.value(), Value::Map(_)) {
            for (name, node) in item.named()? {
                let (path, one_of) = (key_path(&node, name), values(&node));
                match (path, one_of) {
                    (Some(path), Some(one_of)) => {
                        add(&node, &mut claims, RequiredClaim { path, one_of }, name);
                    }
                    _ => all_read = false,
                }
            }
        } else if let Some(path) = item.claim_path() {
            add(&item, &mut claims, RequiredClaim::from(path), &item.as_written());
        } else {
            all_read = false;
        }
    }
    all_read.then_some(claims)
}

fn add(node: &Node<'_>, claims: &mut Vec<RequiredClaim>, claim: RequiredClaim, shown: &str) {
    if claims.iter().any(|other| other.path == claim.path) {
        node.refuse_key::<()>(MistakeKind::Repeated(format!("{shown:?}")), None);
    }
    claims.push(claim);
}

/// A claim's path in the place of a key.
fn key_path(node: &Node<'_>, name: &str) -> Option<ClaimPath> {
    match name.parse() {
        Ok(path) => Some(path),
        Err(error) => {
            let error: crate::base::InvalidClaimPath = error;
            let kind = MistakeKind::Expected {
                expected: "the name of a claim such as sub or realm_access.roles".to_owned(),
                found: format!("{:?}", name.chars().take(64).collect::<String>()),
            };
            node.refuse_key(kind, Some(error.to_string()))
        }
    }
}

fn values(node: &Node<'_>) -> Option<Vec<ClaimValue>> {
    let expected = "the values that the claim may have, e.g. [acme]";
    if matches!(node.value(), Value::Nothing) {
        return node.expected(expected);
    }
    let values = node.filled_list(expected, |node| match node.value() {
        Value::Bool(value) => Some(ClaimValue::Bool(*value)),
        _ => Some(ClaimValue::Text(node.words("a text, true or false")?)),
    })?;
    refuse_repeated(node, &values);
    Some(values)
}

/// `token_type:`.
pub(super) fn token_type(node: &Node<'_>, is_own: bool) -> Option<String> {
    let expected = if is_own {
        "access, as the gateway's own tokens say"
    } else {
        "the token_type of its access tokens"
    };
    let text = node.words(expected)?;
    let fits = if is_own { text == "access" } else { text != "refresh" };
    if fits { Some(text) } else { node.expected(expected) }
}
