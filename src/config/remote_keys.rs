//! Keys that are fetched: where from, how, and when again.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use crate::base::ByteSize;

use super::credential;
use super::issuer_rule::WrittenIssuer;
use super::mistake::MistakeKind;
use super::model::{Fetch, KeyLocation, KeySource, Refresh, RemoteKeys, TenantKeyLocation, TenantKeys};
use super::proxy;
use super::tenant_pattern::{TenantPattern, TenantPlace};
use super::value::show_duration;
use super::walk::{Node, Section};

const DEFAULT_REFRESH: Refresh =
    Refresh { every: Duration::from_secs(600), cooldown: Duration::from_secs(30), stale_if_error: DAY };

const SHORTEST: Duration = Duration::from_millis(100);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// A provider that was down for longer has other worries, and so have those who took its tokens all the while.
const LONGEST_STALE: Duration = Duration::from_secs(30 * 86_400);

/// Where keys are: those of all tokens, or those of a tenant.
pub(super) enum Location {
    One(KeyLocation),
    ByTenant(TenantKeyLocation),
}

/// Reads `jwks_url:` of a provider with this issuer, where that could be read.
pub(super) fn jwks_url(node: &Node<'_>, issuer: Option<&WrittenIssuer>) -> Option<Location> {
    const EXPECTED: &str = "a URL such as https://id.example.com/keys";
    let text = node.text(EXPECTED)?;
    if !text.contains(['{', '}']) {
        return match web_url(&text) {
            Some(url) => Some(Location::One(KeyLocation::Url(url))),
            None => node.expected(EXPECTED),
        };
    }
    let pattern = match TenantPattern::parse(&text) {
        Ok(pattern) => pattern,
        Err(problem) => return node.refuse(MistakeKind::Pattern { found: node.shown(), problem }),
    };
    match issuer? {
        // A name that fits the issuer must fit the URL, too.
        WrittenIssuer::Patterns(issuers)
            if pattern.place() == TenantPlace::Path
                || issuers.iter().all(|issuer| issuer.place() == TenantPlace::Host) =>
        {
            Some(Location::ByTenant(TenantKeyLocation::Url(pattern)))
        }
        WrittenIssuer::Patterns(_) => node.refuse(MistakeKind::Pattern {
            found: node.shown(),
            problem: "has {tenant} in the host where the issuer has it in the path",
        }),
        WrittenIssuer::Names(_) | WrittenIssuer::Any => node.refuse(MistakeKind::Pattern {
            found: node.shown(),
            problem: "has {tenant}, and the issuer has none",
        }),
    }
}

/// Reads `discovery:` of a provider with this issuer, where that could be read.
pub(super) fn discovery(node: &Node<'_>, issuer: Option<&WrittenIssuer>) -> Option<Location> {
    if !node.boolean()? {
        return node.expected("true");
    }
    let is_place = |issuer: &String| web_url(issuer).is_some_and(|url| url.query().is_none());
    let found = match issuer? {
        WrittenIssuer::Patterns(patterns) => {
            let first = patterns.first().cloned();
            return first.map(|pattern| Location::ByTenant(TenantKeyLocation::Discovery(pattern)));
        }
        // The others are spellings of the same one.
        WrittenIssuer::Names(names) => match names.first() {
            Some(first) if is_place(first) => {
                return Some(Location::One(KeyLocation::Discovery(first.clone())));
            }
            first => format!("{:?}", first.map_or("", String::as_str)),
        },
        WrittenIssuer::Any => "any".to_owned(),
    };
    node.refuse_with(
        MistakeKind::Expected { expected: "an issuer that is a URL".to_owned(), found },
        "the document lies below the issuer's URL; without one, give `jwks_url`",
    )
}

/// An absolute URL that can be asked for: a fragment is nothing to send, and a user's name and password belong
/// elsewhere.
pub(super) fn web_url(text: &str) -> Option<Uri> {
    let url: Uri = text.parse().ok()?;
    let web = matches!(url.scheme_str(), Some("http" | "https"));
    let host = url.host().is_some_and(|host| !host.is_empty());
    let plain =
        !text.contains('#') && url.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    (web && host && plain).then_some(url)
}

/// Reads `refresh:` and `fetch:` of a provider whose keys are at `location`; `at` is where the file says so. A provider
/// with keys of another kind has neither.
pub(super) fn read(
    section: &Section<'_, '_>,
    location: Option<Location>,
    at: &Node<'_>,
) -> Option<KeySource> {
    let refresh = section.optional("refresh", |node| node.section(refresh));
    let fetch = fetch_options(section);
    let location = location?;
    let (url, is_issuer) = match &location {
        Location::One(KeyLocation::Url(url)) => (url.to_string(), false),
        Location::One(KeyLocation::Discovery(issuer)) => (issuer.clone(), true),
        Location::ByTenant(TenantKeyLocation::Url(url)) => (url.to_string(), false),
        Location::ByTenant(TenantKeyLocation::Discovery(issuer)) => (issuer.to_string(), true),
    };
    let is_plain = url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
    if is_plain && !fetch.allow_http {
        let found = if is_issuer { format!("the issuer {url:?}") } else { at.shown() };
        return at.refuse_with(
            MistakeKind::Expected { expected: "an https:// URL".to_owned(), found },
            "whoever is on the way could put keys of his own in; `fetch: { allow_http: true }` takes it all the same",
        );
    }
    if is_plain && fetch.credential.is_some() {
        at.warn("the credential is sent in clear text");
    }
    let (refresh, fetch) = (refresh.unwrap_or(DEFAULT_REFRESH), Arc::new(fetch));
    Some(match location {
        Location::One(location) => KeySource::Remote(Box::new(RemoteKeys { location, refresh, fetch })),
        Location::ByTenant(location) => {
            KeySource::RemoteByTenant(Box::new(TenantKeys { location, refresh, fetch }))
        }
    })
}

/// Refuses `refresh:` and `fetch:` where nothing is fetched.
pub(super) fn refuse(section: &Section<'_, '_>) {
    for name in ["refresh", "fetch"] {
        if let Some(node) = section.key(name) {
            node.refuse_key::<()>(MistakeKind::NoEffect("on keys that are not fetched"), None);
        }
    }
}

fn refresh(section: &Section<'_, '_>) -> Option<Refresh> {
    let duration = |name, least, most| section.optional(name, |node: &Node<'_>| node.duration(least..=most));
    let every = duration("every", SHORTEST, DAY).unwrap_or(DEFAULT_REFRESH.every);
    let cooldown = duration("cooldown", SHORTEST, HOUR).unwrap_or(DEFAULT_REFRESH.cooldown);
    let stale_if_error = section.optional("stale_if_error", |node| {
        let duration = node.duration(SHORTEST..=LONGEST_STALE)?;
        if duration >= every {
            return Some(duration);
        }
        let allowed =
            format!("keys would age beyond it between two fetches; give {} or more", show_duration(every));
        node.refuse(MistakeKind::OutOfRange { allowed, found: node.shown() })
    });
    Some(Refresh {
        every,
        cooldown,
        stale_if_error: stale_if_error.unwrap_or(DEFAULT_REFRESH.stale_if_error),
    })
}

/// Reads `fetch:` of a provider on another server.
pub(super) fn fetch_options(section: &Section<'_, '_>) -> Fetch {
    let fetch = section.optional("fetch", |node| node.section(|section| Some(fetch(section))));
    fetch.unwrap_or_else(|| default_fetch(section))
}

fn default_fetch(section: &Section<'_, '_>) -> Fetch {
    Fetch {
        connect_timeout: Duration::from_secs(2),
        timeout: Duration::from_secs(5),
        max_body: ByteSize(512 << 10),
        allow_http: false,
        allow_private_addresses: false,
        ca: None,
        proxy: proxy::of_environment(section.node().reader()),
        credential: None,
        client_certificate: None,
    }
}

fn fetch(section: &Section<'_, '_>) -> Fetch {
    let default = default_fetch(section);
    let duration = |name| section.optional(name, |node: &Node<'_>| node.duration(SHORTEST..=MINUTE));
    let allowed = |name| section.optional(name, Node::boolean).unwrap_or(false);
    Fetch {
        connect_timeout: duration("connect_timeout").unwrap_or(default.connect_timeout),
        timeout: duration("timeout").unwrap_or(default.timeout),
        max_body: section
            .optional("max_body", |node| node.size(ByteSize(1 << 10)..=ByteSize(16 << 20)))
            .unwrap_or(default.max_body),
        allow_http: allowed("allow_http"),
        allow_private_addresses: allowed("allow_private_addresses"),
        ca: section.optional("ca", |node| node.file_path("the path of a PEM file")),
        proxy: section.optional("proxy", proxy::proxy).unwrap_or(default.proxy),
        credential: section.optional("credential", credential::credential),
        client_certificate: section.optional("client_certificate", credential::client_certificate),
    }
}
