//! Keys that are fetched: where from, how, and when again.

use std::time::Duration;

use http::Uri;

use crate::base::ByteSize;

use super::credential;
use super::mistake::MistakeKind;
use super::model::{Fetch, IssuerRule, KeyLocation, Refresh, RemoteKeys};
use super::proxy;
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

/// Reads `jwks_url:`.
pub(super) fn jwks_url(node: &Node<'_>) -> Option<KeyLocation> {
    node.parse("a URL such as https://id.example.com/keys", web_url).map(KeyLocation::Url)
}

/// Reads `discovery:` of a provider with this issuer, where that could be read.
pub(super) fn discovery(node: &Node<'_>, issuer: Option<&IssuerRule>) -> Option<KeyLocation> {
    if !node.boolean()? {
        return node.expected("true");
    }
    let found = match issuer? {
        IssuerRule::Exactly(issuer) if web_url(issuer).is_some_and(|url| url.query().is_none()) => {
            return Some(KeyLocation::Discovery(issuer.clone()));
        }
        IssuerRule::Exactly(issuer) => format!("{issuer:?}"),
        IssuerRule::Any => "any".to_owned(),
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
    location: Option<KeyLocation>,
    at: &Node<'_>,
) -> Option<RemoteKeys> {
    let refresh = section.optional("refresh", |node| node.section(refresh));
    let fetch = fetch_options(section);
    let location = location?;
    let (plain, found) = match &location {
        KeyLocation::Url(url) => (url.scheme_str() == Some("http"), at.shown()),
        KeyLocation::Discovery(issuer) => {
            (web_url(issuer)?.scheme_str() == Some("http"), format!("the issuer {issuer:?}"))
        }
    };
    if plain && !fetch.allow_http {
        return at.refuse_with(
            MistakeKind::Expected { expected: "an https:// URL".to_owned(), found },
            "whoever is on the way could put keys of his own in; `fetch: { allow_http: true }` takes it all the same",
        );
    }
    if plain && fetch.credential.is_some() {
        at.warn("the credential is sent in clear text");
    }
    Some(RemoteKeys { location, refresh: refresh.unwrap_or(DEFAULT_REFRESH), fetch })
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
