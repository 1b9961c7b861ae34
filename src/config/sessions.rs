//! The keys of `issuer:` about sessions, and `revocations:`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::issuer::LIFETIME;
use super::mistake::MistakeKind;
use super::model::{Compatibility, OnReuse, RevocationRules, SessionRules};
use super::walk::{Node, Section};

/// A replay window: no honest client retries for longer.
const GRACE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(300);
const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// Reads what `issuer:` says of sessions.
pub(super) fn read(section: &Section<'_, '_>, compatibility: Compatibility) -> SessionRules {
    let default = match compatibility {
        Compatibility::Tollgate => SessionRules::TOLLGATE,
        Compatibility::SimpleJwt => SessionRules::SIMPLEJWT,
    };
    let on_reuse = section.optional("on_reuse", |node| {
        node.choice(&[("end_session", OnReuse::EndSession), ("refuse", OnReuse::Refuse)])
    });
    SessionRules {
        on_reuse: on_reuse.unwrap_or(default.on_reuse),
        reuse_grace: section.optional("reuse_grace", grace).unwrap_or(default.reuse_grace),
        lifetime: section.optional("session_lifetime", |node| node.duration(LIFETIME)),
        most_per_user: section.optional("max_sessions_per_user", |node| {
            node.integer(1..=1_000_000).and_then(|most| u32::try_from(most).ok())
        }),
        purge_interval: interval(section, "purge_interval").unwrap_or(default.purge_interval),
        user_poll_interval: interval(section, "user_poll_interval").unwrap_or(default.user_poll_interval),
    }
}

fn grace(node: &Node<'_>) -> Option<Duration> {
    let grace = node.duration(GRACE)?;
    if grace.subsec_nanos() != 0 {
        let kind = MistakeKind::Expected { expected: "whole seconds".to_owned(), found: node.shown() };
        return node.refuse(kind);
    }
    Some(grace)
}

fn interval(section: &Section<'_, '_>, name: &'static str) -> Option<Duration> {
    section.optional(name, |node| node.duration(INTERVAL))
}

/// Reads `revocations:`.
pub(super) fn read_revocations(section: &Section<'_, '_>) -> Option<RevocationRules> {
    let start_without = section.optional("start_without", |node| {
        let without = node.boolean()?;
        if without {
            node.warn("a token that was revoked is taken after a start until the database answers");
        }
        Some(without)
    });
    Some(RevocationRules { start_without: start_without.unwrap_or(false) })
}
