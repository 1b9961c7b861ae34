//! `hook:` of the issuer: an HTTP service that knows more claims.

use super::mistake::MistakeKind;
use super::model::{ClaimHook, OnHookError};
use super::remote_keys::{fetch_options, web_url};
use super::walk::Node;

/// Reads it.
pub(super) fn read(node: &Node<'_>) -> Option<ClaimHook> {
    node.section(|section| {
        let fetch = fetch_options(section);
        let url = section.required("url", |node| {
            let url = node.parse("a URL such as https://app.internal/claims", web_url)?;
            if url.scheme_str() == Some("http") && !fetch.allow_http {
                return node.refuse_with(
                    MistakeKind::Expected { expected: "an https:// URL".to_owned(), found: node.shown() },
                    "whoever is on the way could write claims; `fetch: { allow_http: true }` takes it all the same",
                );
            }
            Some(url)
        });
        let on_error = section.optional("on_error", |node| {
            node.choice(&[("fail", OnHookError::Fail), ("keep", OnHookError::Keep)])
        });
        Some(ClaimHook { url: url?, fetch, on_error: on_error.unwrap_or(OnHookError::Fail) })
    })
}
