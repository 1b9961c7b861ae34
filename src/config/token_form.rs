//! Those keys of `issuer:` that say how tokens look and are looked at. See [`TokenForm`].

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::base::TokenClass;

use super::mistake::MistakeKind;
use super::model::{Compatibility, Sliding, TokenForm};
use super::providers::refuse_repeated;
use super::walk::{Node, Section};

/// What RFC 7519, section 4.1 and sessions give a meaning of their own, but for `sub`.
const REGISTERED: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "sid"];

/// Reads them.
pub(super) fn read(
    section: &Section<'_, '_>,
    compatibility: Compatibility,
    lifetimes: RangeInclusive<Duration>,
) -> Option<TokenForm> {
    let usual = TokenForm::usual();
    let mut taken: Vec<String> = REGISTERED.map(str::to_owned).to_vec();
    let user_id_claim = claim(section, "user_id_claim", usual.user_id_claim, &mut taken);
    // It says who the user is, and so may that claim alone.
    taken.push("sub".to_owned());
    let token_type_claim = claim(section, "token_type_claim", usual.token_type_claim, &mut taken);
    let jti_claim = claim(section, "jti_claim", usual.jti_claim, &mut taken);
    let lifetime =
        |name, default| section.optional(name, |node| node.duration(lifetimes.clone())).unwrap_or(default);
    let sliding = Sliding {
        lifetime: lifetime("sliding_token_lifetime", usual.sliding.lifetime),
        refresh_lifetime: lifetime("sliding_token_refresh_lifetime", usual.sliding.refresh_lifetime),
        refresh_exp_claim: claim(
            section,
            "sliding_token_refresh_exp_claim",
            usual.sliding.refresh_exp_claim,
            &mut taken,
        )?,
    };
    let check_revoke_token = section.optional("check_revoke_token", Node::boolean).unwrap_or(false);
    let revoke_token_claim = claim(section, "revoke_token_claim", "hash_password".to_owned(), &mut taken);
    let check_user_is_active = section.optional("check_user_is_active", Node::boolean).unwrap_or(true);
    let auth_token_classes = match section.key("auth_token_classes") {
        Some(node) => classes(&node, compatibility),
        None => Some(usual.auth_token_classes),
    };
    Some(TokenForm {
        user_id_claim: user_id_claim?,
        token_type_claim: token_type_claim?,
        jti_claim: jti_claim?,
        revoke_token_claim: Some(revoke_token_claim?).filter(|_| check_revoke_token),
        check_user_is_active,
        auth_token_classes: auth_token_classes?,
        sliding,
    })
}

fn claim(
    section: &Section<'_, '_>,
    key: &'static str,
    default: String,
    taken: &mut Vec<String>,
) -> Option<String> {
    let Some(node) = section.key(key) else {
        taken.push(default.clone());
        return Some(default);
    };
    let name = node.parse("the name of a claim", |text| {
        let sound = !text.is_empty() && text.len() <= 256 && !text.contains(char::is_control);
        sound.then(|| text.to_owned())
    })?;
    if taken.contains(&name) {
        return node.refuse(MistakeKind::ReservedClaim(name));
    }
    taken.push(name.clone());
    Some(name)
}

fn classes(node: &Node<'_>, compatibility: Compatibility) -> Option<Vec<TokenClass>> {
    let choices = [TokenClass::Access, TokenClass::Sliding].map(|class| (class.token_type(), class));
    let classes = node.filled_list("access or sliding", |node| node.choice(&choices))?;
    refuse_repeated(node, &classes);
    if compatibility == Compatibility::Tollgate && classes.contains(&TokenClass::Sliding) {
        return node.refuse(MistakeKind::NoEffect("without `compatibility: simplejwt`"));
    }
    Some(classes)
}
