//! How a route looks at credentials and refuses them: `auth.refusals` and `auth.user_check`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::base::TokenClass;

use super::mistake::MistakeKind;
use super::model::{Compatibility, Issuer, Manner, RefusalForm, StandingCheck};
use super::walk::{Node, Section};
use super::written::Value;

const MAX_AGE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);
const STALE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(86_400);

/// What `user_check` is where nothing of it is said.
const USUAL: StandingCheck =
    StandingCheck { users: true, max_age: Duration::from_secs(5), stale_if_error: Duration::from_secs(60) };

/// Reads them. `own` is the issuer, on a route that takes its tokens.
pub(super) fn read(section: &Section<'_, '_>, own: Option<&Issuer>) -> Option<Manner> {
    // The one place that asks for the profile on behalf of a route.
    let profile = own.filter(|issuer| issuer.compatibility == Compatibility::SimpleJwt);
    let classes = || own.map_or_else(|| vec![TokenClass::Access], |own| own.form.auth_token_classes.clone());
    let said = section.optional("refusals", |node| node.choice(&[("standard", false), ("drf", true)]));
    let refusals = match said.unwrap_or(profile.is_some()) {
        true => RefusalForm::Drf { classes: classes() },
        false => RefusalForm::Standard,
    };
    let users = match section.key("user_check") {
        Some(node) if own.is_none() => {
            node.refuse_key(MistakeKind::NoEffect("without a provider that has `keys: { own: true }`"), None)
        }
        Some(node) => user_check(&node),
        None => Some(profile.map(|_| USUAL)),
    }?;
    let slides = own.is_some_and(|own| own.form.auth_token_classes.contains(&TokenClass::Sliding));
    let blacklist = slides.then_some(StandingCheck { users: false, ..USUAL });
    Some(Manner { refusals, exact_header: profile.is_some(), standing_check: users.or(blacklist) })
}

/// The outer `None` is a mistake, the inner one `off`.
fn user_check(node: &Node<'_>) -> Option<Option<StandingCheck>> {
    match node.value() {
        Value::Bool(false) => Some(None),
        Value::Text(text) if text == "off" => Some(None),
        Value::Map(_) | Value::Nothing => node.section(|section| {
            let max_age = section.optional("max_age", |node| node.duration(MAX_AGE));
            let stale = section.optional("stale_if_error", |node| node.duration(STALE));
            Some(Some(StandingCheck {
                max_age: max_age.unwrap_or(USUAL.max_age),
                stale_if_error: stale.unwrap_or(USUAL.stale_if_error),
                ..USUAL
            }))
        }),
        _ => node.expected("off, or a section such as { max_age: 5s }"),
    }
}
