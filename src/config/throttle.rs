//! `issuer.throttle`: how many failed logins are taken before one has to wait.

use std::time::Duration;

use crate::base::Rate;

use super::model::Throttle;
use super::walk::{Node, Section};
use super::written::Value;

/// Reads `throttle:` of the issuer. `on`: whether logins are throttled where nothing is said.
pub(super) fn read(issuer: &Section<'_, '_>, on: bool) -> Throttle {
    match issuer.key("throttle") {
        None if on => usual(),
        None => Throttle::default(),
        Some(node) if is_off(&node) => Throttle::default(),
        Some(node) => node.section(|section| Some(throttle(section))).unwrap_or_default(),
    }
}

fn throttle(section: &Section<'_, '_>) -> Throttle {
    let usual = usual();
    let rate = |name, usual| match section.key(name) {
        None => usual,
        Some(node) if is_off(&node) => None,
        Some(node) => node.rate(),
    };
    Throttle {
        per_account: rate("per_account", usual.per_account),
        per_address: rate("per_address", usual.per_address),
        account_ceiling: rate("account_ceiling", usual.account_ceiling),
    }
}

/// The ceiling fills as fast as one network may fail, so that no single network ever reaches it.
fn usual() -> Throttle {
    let rate = |count, minutes: u64| Rate::new(count, Duration::from_secs(60 * minutes)).ok();
    Throttle { per_account: rate(10, 1), per_address: rate(30, 1), account_ceiling: rate(100, 10) }
}

fn is_off(node: &Node<'_>) -> bool {
    matches!(node.value(), Value::Bool(false)) || matches!(node.value(), Value::Text(text) if text == "off")
}
