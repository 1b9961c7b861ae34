//! `issuer:`: the built-in token endpoints. Keys are named as SimpleJWT's settings, in lower case.

use std::path::Path;
use std::time::Duration;

use crate::base::{Algorithm, KeyFamily, Secret};

use super::hook;
use super::mistake::MistakeKind;
use super::model::LONGEST_LIFETIME;
use super::model::{
    Audiences, ClaimSource, Compatibility, Database, Issuer, IssuerRule, KeySource, OwnTokenRules, Provider,
    TokenForm, TokenPaths, Users,
};
use super::sessions;
use super::throttle;
use super::token_form;
use super::users;
use super::walk::{Node, Section};
use super::written::Value;
use super::{claim_column, claim_query};

/// `NumericDate` counts seconds, so no lifetime is shorter.
pub(super) const LIFETIME: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=LONGEST_LIFETIME;

/// Where the public keys are published; not in the file's hands, since verifiers look here.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";

/// An issuer that does not know yet what its tokens say about their issuer and audience: the provider with
/// the gateway's own keys says that, once for those who sign and those who verify.
#[derive(Debug)]
pub(super) struct Unnamed(Issuer);

impl Unnamed {
    /// What its tokens are signed with.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// How the provider with the gateway's own keys looks at its tokens.
    pub(super) fn token_rules(&self) -> OwnTokenRules {
        let Issuer { compatibility, form, .. } = &self.0;
        let types = form.auth_token_classes.iter().map(|class| class.token_type().to_owned());
        OwnTokenRules {
            token_type_claim: form.token_type_claim.clone(),
            token_types: types.collect(),
            id_claim: (*compatibility == Compatibility::SimpleJwt).then(|| form.jti_claim.clone()),
        }
    }

    /// The issuer whose tokens this provider takes.
    pub(super) fn named_by(self, own: Option<&Provider>) -> Issuer {
        let Some(own) = own else { return self.0 };
        debug_assert!(matches!(own.keys, KeySource::Own), "another provider's name is not the issuer's");
        let issuer = match &own.issuer {
            IssuerRule::Exactly(issuer) => Some(issuer.clone()),
            // One that signs has one name: others are refused.
            IssuerRule::OneOf(_) | IssuerRule::Tenants(_) | IssuerRule::Any => None,
        };
        let audiences = match &own.audiences {
            Audiences::OneOf(audiences) | Audiences::AllOf(audiences) => audiences.clone(),
            Audiences::Any => Vec::new(),
        };
        Issuer { issuer, audiences, leeway: own.leeway, ..self.0 }
    }
}

/// Reads `issuer:`.
pub(super) fn read(node: &Node<'_>, state_directory: &Path) -> Option<Unnamed> {
    node.section(|section| {
        let compatibility = section
            .optional("compatibility", |node| {
                node.choice(&[("tollgate", Compatibility::Tollgate), ("simplejwt", Compatibility::SimpleJwt)])
            })
            .unwrap_or(Compatibility::Tollgate);
        let safer = compatibility == Compatibility::Tollgate;
        let store = section
            .optional("store", users::database)
            .unwrap_or_else(|| Database::Sqlite(state_directory.join("tollgate.db")));
        let users = match section.key("users") {
            Some(node) => users::read(&node),
            None => Some(Users::Own),
        };
        let paths = paths(section, compatibility);
        let form = token_form::read(section, compatibility, LIFETIME);
        let update_last_login = section.optional("update_last_login", Node::boolean).unwrap_or(safer);
        let lifetime = |name, default| {
            section.optional(name, |node| node.duration(LIFETIME)).unwrap_or(Duration::from_secs(default))
        };
        let access_token_lifetime = lifetime("access_token_lifetime", 300);
        let refresh_token_lifetime = lifetime("refresh_token_lifetime", 86_400);
        let rotation = rotation(section, safer);
        let sessions = sessions::read(section, compatibility);
        let default_algorithm = if safer { Algorithm::ES256 } else { Algorithm::HS256 };
        let algorithm = section.optional("algorithm", Node::algorithm).unwrap_or(default_algorithm);
        let signing_key = signing_key(section, algorithm);
        let verifying_key = verifying_key(section, algorithm);
        let key_ring = section.optional("key_ring", |node| node.file_path("the path of a folder"));
        let claims = match section.key("claims") {
            Some(node) => claims(&node, form.as_ref(), users.as_ref()),
            None if safer => Some(vec![("username".to_owned(), ClaimSource::Username)]),
            None => Some(Vec::new()),
        };
        let users = users.map(|mut users| {
            claim_column::ask_for(claims.as_deref().unwrap_or_default(), &mut users);
            users
        });
        let throttle = throttle::read(section, safer);
        let hook = match section.key("hook") {
            Some(node) => hook::read(&node).map(Some),
            None => Some(None),
        };
        Some(Unnamed(Issuer {
            compatibility,
            store,
            users: users?,
            paths: paths?,
            access_token_lifetime,
            refresh_token_lifetime,
            rotate_refresh_tokens: rotation.rotate,
            blacklist_after_rotation: rotation.blacklist,
            sessions,
            algorithm,
            signing_key: signing_key?,
            verifying_key: verifying_key?,
            key_ring: key_ring.unwrap_or_else(|| state_directory.join("keys")),
            update_last_login,
            form: form?,
            claims: claims?,
            hook: hook?,
            throttle,
            exchange: Vec::new(),
            issuer: None,
            audiences: Vec::new(),
            leeway: Duration::ZERO,
            longest_leeway: Duration::ZERO,
            scheme: "Bearer".to_owned(),
        }))
    })
}

fn paths(section: &Section<'_, '_>, compatibility: Compatibility) -> Option<TokenPaths> {
    let defaults = TokenPaths {
        obtain: Some("/api/token/".to_owned()),
        refresh: Some("/api/token/refresh/".to_owned()),
        verify: Some("/api/token/verify/".to_owned()),
        blacklist: Some("/api/token/blacklist/".to_owned()),
        logout: Some("/api/token/logout/".to_owned()),
        logout_all: Some("/api/token/logout/all/".to_owned()),
        sliding_obtain: None,
        sliding_refresh: None,
    };
    let Some(node) = section.key("paths") else {
        return Some(defaults);
    };
    node.section(|section| {
        let mut taken = vec![JWKS_PATH.to_owned()];
        let mut path = |name, default: Option<String>| match (section.key(name), default) {
            (Some(node), _) if is_off(&node) => Some(None),
            (Some(node), _) => {
                let path = node.exact_path()?;
                if taken.contains(&path) {
                    return node.refuse(MistakeKind::PathTaken(node.as_written()));
                }
                taken.push(path.clone());
                Some(Some(path))
            }
            (None, Some(default)) if taken.contains(&default) => {
                section.node().refuse_key(MistakeKind::PathTaken(default), Some(format!("set {name} too")))
            }
            (None, default) => {
                taken.extend(default.clone());
                Some(default)
            }
        };
        let sliding_obtain = path("sliding_obtain", defaults.sliding_obtain);
        let sliding_refresh = path("sliding_refresh", defaults.sliding_refresh);
        let obtain = path("obtain", defaults.obtain);
        let refresh = path("refresh", defaults.refresh);
        let verify = path("verify", defaults.verify);
        let blacklist = path("blacklist", defaults.blacklist);
        let logout = path("logout", defaults.logout);
        let logout_all = path("logout_all", defaults.logout_all);
        if compatibility == Compatibility::Tollgate {
            // Such a token can't be rotated: whoever steals one shares it for as long as it slides.
            for node in [section.key("sliding_obtain"), section.key("sliding_refresh")].iter().flatten() {
                node.refuse_key::<()>(MistakeKind::NoEffect("without `compatibility: simplejwt`"), None);
            }
        }
        Some(TokenPaths {
            obtain: obtain?,
            refresh: refresh?,
            verify: verify?,
            blacklist: blacklist?,
            logout: logout?,
            logout_all: logout_all?,
            sliding_obtain: sliding_obtain?,
            sliding_refresh: sliding_refresh?,
        })
    })
}

fn is_off(node: &Node<'_>) -> bool {
    matches!(node.value(), Value::Bool(false)) || matches!(node.value(), Value::Text(text) if text == "off")
}

struct Rotation {
    rotate: bool,
    blacklist: bool,
}

fn rotation(section: &Section<'_, '_>, safer: bool) -> Rotation {
    let rotate = section.optional("rotate_refresh_tokens", Node::boolean).unwrap_or(safer);
    let said = section.optional("blacklist_after_rotation", Node::boolean);
    if let (false, Some(true), Some(node)) = (rotate, said, section.key("blacklist_after_rotation")) {
        node.warn("has no effect as long as rotate_refresh_tokens is false");
    }
    Rotation { rotate, blacklist: said.unwrap_or(safer) }
}

/// The outer `None` is a mistake, the inner one the key ring.
fn signing_key(section: &Section<'_, '_>, algorithm: Algorithm) -> Option<Option<Secret>> {
    let allow_short = section.key("allow_short");
    let key_ring = section.key("key_ring");
    let is_hmac = algorithm.family() == KeyFamily::Hmac;
    if let Some(allow_short) = allow_short.as_ref().filter(|_| !is_hmac) {
        allow_short.refuse_key::<()>(MistakeKind::NoEffect("without an HMAC algorithm"), None);
    }
    let allow_short = allow_short.and_then(|node| node.boolean()).unwrap_or(false);
    let Some(node) = section.key("signing_key") else {
        if is_hmac {
            return section.node().refuse_key(
                MistakeKind::SigningKeyNeeded(algorithm),
                Some("write `signing_key: ${NAME}` or `signing_key: file:PATH`".to_owned()),
            );
        }
        return Some(None);
    };
    if let Some(key_ring) = key_ring {
        key_ring.refuse_key::<()>(MistakeKind::Conflict("\"signing_key\"".to_owned()), None);
    }
    let secret = node.secret()?;
    node.check_signing_key(&secret, algorithm, allow_short)?;
    Some(Some(secret))
}

/// The outer `None` is a mistake.
fn verifying_key(section: &Section<'_, '_>, algorithm: Algorithm) -> Option<Option<Secret>> {
    let Some(node) = section.key("verifying_key") else { return Some(None) };
    if algorithm.family() == KeyFamily::Hmac {
        return node.refuse_key(MistakeKind::NoEffect("with an HMAC algorithm"), None);
    }
    if section.key("signing_key").is_none() {
        return node.refuse_key(MistakeKind::NoEffect("without signing_key"), None);
    }
    Some(Some(node.secret()?))
}

fn claims(
    node: &Node<'_>,
    form: Option<&TokenForm>,
    users: Option<&Users>,
) -> Option<Vec<(String, ClaimSource)>> {
    // With a mistake there it is not known which they are.
    let is_reserved = |name: &str| form.is_some_and(|form| form.is_reserved(name));
    let live_elsewhere = users.is_some_and(|users| !matches!(users, Users::Own));
    let claims: Vec<Option<(String, ClaimSource)>> = node
        .named()?
        .into_iter()
        .map(|(name, node)| {
            if is_reserved(name) {
                return node.refuse_key(MistakeKind::ReservedClaim(name.to_owned()), None);
            }
            if name.is_empty() || name.len() > 256 || name.contains(char::is_control) {
                let kind = MistakeKind::Expected {
                    expected: "the name of a claim".to_owned(),
                    found: "another key".to_owned(),
                };
                return node.refuse_key(kind, None);
            }
            let source = claim_source(&node, users)?;
            if matches!(source, ClaimSource::Scopes) && live_elsewhere {
                return node.refuse(MistakeKind::NoEffect("with users who live elsewhere"));
            }
            Some((name.to_owned(), source))
        })
        .collect();
    claims.into_iter().collect()
}

fn claim_source(node: &Node<'_>, users: Option<&Users>) -> Option<ClaimSource> {
    node.section(|section| {
        let (from, value) = (section.key("from"), section.key("value"));
        let (column, query) = (section.key("column"), section.key("query"));
        if let Some(query) = query {
            let beside = [("from", &from), ("value", &value), ("column", &column)];
            if let Some((name, _)) = beside.into_iter().find(|(_, node)| node.is_some()) {
                return query.refuse_key(MistakeKind::Conflict(format!("\"{name}\"")), None);
            }
            let query = claim_query::read(section, &query, users)?;
            return Some(ClaimSource::Query(Box::new(query)));
        }
        if let Some(column) = column {
            if from.is_some() || value.is_some() {
                return column.refuse_key(MistakeKind::Conflict("\"from\" or \"value\"".to_owned()), None);
            }
            return Some(ClaimSource::Column(claim_column::read(&column, users)?));
        }
        match (from, value) {
            (Some(from), None) => {
                let names = ["username", "email", "roles", "groups", "scopes"];
                let sources = [
                    ClaimSource::Username,
                    ClaimSource::Email,
                    ClaimSource::Roles,
                    ClaimSource::Groups,
                    ClaimSource::Scopes,
                ];
                let choices: Vec<_> = names.into_iter().zip(&sources).collect();
                from.choice(&choices).cloned()
            }
            (None, Some(value)) => Some(ClaimSource::Constant(value.words("a text")?)),
            (Some(_), Some(value)) => value.refuse_key(MistakeKind::Conflict("\"from\"".to_owned()), None),
            (None, None) => {
                let kind = MistakeKind::Expected {
                    expected:
                        "{ from: username|email|roles|groups|scopes }, { column: NAME }, { query: SQL } or \
                               { value: TEXT }"
                            .to_owned(),
                    found: "neither of them".to_owned(),
                };
                section.node().refuse_key(kind, None)
            }
        }
    })
}
