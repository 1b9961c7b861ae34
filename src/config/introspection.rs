//! `introspection:` of a provider: it is asked about each token, in place of keys that would tell (RFC 7662).

use std::time::Duration;

use super::mistake::MistakeKind;
use super::model::{Introspection, OnIntrospectionError};
use super::remote_keys::{fetch_options, web_url};
use super::value::show_duration;
use super::walk::{Node, Section};

const LONGEST_CACHE: Duration = Duration::from_secs(3600);
/// A token that was revoked may live on for so long while its provider is down.
const LONGEST_STALE: Duration = Duration::from_secs(86_400);
const DEFAULT_STALE: Duration = Duration::from_secs(600);
const MOST_CONCURRENT: u64 = 10_000;
const MOST_PER_SECOND: u64 = 100_000;

/// Reads `introspection:` and `fetch:`; `provider` is the section that they stand in. What is about keys and signed
/// tokens has no meaning beside it.
pub(super) fn read<'r>(node: &Node<'r>, provider: &Section<'_, 'r>) -> Option<Introspection> {
    if let Some(keys) = provider.key("keys") {
        keys.refuse_key::<()>(MistakeKind::Conflict("\"introspection\"".to_owned()), None);
    }
    for name in ["algorithms", "refresh", "typ", "token_type"] {
        if let Some(node) = provider.key(name) {
            node.refuse_key::<()>(MistakeKind::NoEffect("on tokens that are introspected"), None);
        }
    }
    let fetch = fetch_options(provider);
    if fetch.credential.is_some() {
        let refused = provider.key("fetch").unwrap_or_else(|| node.clone());
        refused.refuse_key::<()>(
            MistakeKind::Conflict("\"client_id\" and \"client_secret\", which the endpoint gets".to_owned()),
            Some("remove `credential`".to_owned()),
        );
    }
    node.section(|section| {
        let endpoint = section.required("endpoint", |node| {
            let endpoint = node.parse("a URL such as https://id.example.com/introspect", web_url)?;
            if endpoint.scheme_str() == Some("http") && !fetch.allow_http {
                return node.refuse_with(
                    MistakeKind::Expected { expected: "an https:// URL".to_owned(), found: node.shown() },
                    "whoever is on the way could read tokens and call any of them good; `fetch: { allow_http: true }` takes it all the same",
                );
            }
            Some(endpoint)
        });
        let client_id = section.required("client_id", |node| node.words("the gateway's name at the provider"));
        let client_secret = section.required("client_secret", Node::secret);
        let lifetime = |name, default| {
            section
                .optional(name, |node: &Node<'_>| node.duration(Duration::ZERO..=LONGEST_CACHE))
                .unwrap_or(default)
        };
        let number = |name, most, default| {
            let given = section.optional(name, |node: &Node<'_>| node.integer(1..=most));
            given.and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
        };
        let cache = lifetime("cache", Duration::from_secs(60));
        let negative_cache = lifetime("negative_cache", Duration::from_secs(5));
        let max_concurrent = number("max_concurrent", MOST_CONCURRENT, 64);
        let max_per_second = number("max_per_second", MOST_PER_SECOND, 200);
        let on_error = on_error(section, cache);
        Some(Introspection {
            endpoint: endpoint?,
            client_id: client_id?,
            client_secret: client_secret?,
            cache,
            negative_cache,
            max_concurrent,
            max_per_second,
            on_error,
            fetch,
        })
    })
}

fn on_error(section: &Section<'_, '_>, cache: Duration) -> OnIntrospectionError {
    let choices = [("refuse", false), ("stale", true)];
    let stale = section.optional("on_error", |node| node.choice(&choices)).unwrap_or(false);
    let given = section.optional("stale_if_error", |node| {
        if !stale {
            return node.refuse_key(MistakeKind::NoEffect("without `on_error: stale`"), None);
        }
        let duration = node.duration(Duration::ZERO..=LONGEST_STALE)?;
        if duration >= cache {
            return Some(duration);
        }
        let allowed = format!("so long an answer counts in any case; give {} or more", show_duration(cache));
        node.refuse(MistakeKind::OutOfRange { allowed, found: node.shown() })
    });
    if stale {
        OnIntrospectionError::Stale(given.unwrap_or(DEFAULT_STALE.max(cache)))
    } else {
        OnIntrospectionError::Refuse
    }
}
