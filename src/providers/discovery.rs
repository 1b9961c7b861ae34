//! Where an issuer says that its keys are (OpenID Connect Discovery 1.0; RFC 8414).

use bytes::Bytes;
use http::Uri;
use serde_json::Value;

use crate::base::ShortText;
use crate::http::client::{Client, Content, FetchError};

const ACCEPT: &str = "application/json";

/// Why an issuer's document leads to no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiscoveryError {
    /// There is no document.
    #[error("no discovery document: {0}")]
    Answer(#[from] FetchError),
    /// What came is no JSON object.
    #[error("the discovery document is no JSON object")]
    NoDocument,
    /// It is another issuer's (section 4.3; RFC 8414, section 3.3).
    #[error("the discovery document is that of the issuer {}", found.as_ref().map_or("(none)", ShortText::as_str))]
    OtherIssuer {
        /// What it says.
        found: Option<ShortText>,
    },
    /// There is no `jwks_uri`, or none that can be fetched.
    #[error("the discovery document has no jwks_uri that can be used")]
    NoKeysUrl,
}

impl DiscoveryError {
    /// One word for a metric.
    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::Answer(error) => error.outcome(),
            Self::NoDocument => "no_document",
            Self::OtherIssuer { .. } => "other_issuer",
            Self::NoKeysUrl => "no_keys_url",
        }
    }
}

/// Asks an issuer for the URL of its keys: in the form of OpenID Connect, and where that is not there, in that of
/// RFC 8414.
pub(super) async fn keys_url(client: &Client, issuer: &str) -> Result<Uri, DiscoveryError> {
    let [openid, oauth] = well_known(issuer).ok_or(FetchError::Url)?;
    let document = match get(client, &openid).await {
        Err(FetchError::Status(status)) if status.is_client_error() => get(client, &oauth).await?,
        answer => answer?,
    };
    read(&document, issuer)
}

async fn get(client: &Client, url: &Uri) -> Result<Bytes, FetchError> {
    match client.get(url, ACCEPT, None).await?.content {
        Content::New(document) => Ok(document),
        // Nobody asked for it.
        Content::Unchanged => Err(FetchError::Status(http::StatusCode::NOT_MODIFIED)),
    }
}

/// Both places of an issuer's document. RFC 8414 puts the well-known part before the issuer's path (section 3.1).
fn well_known(issuer: &str) -> Option<[Uri; 2]> {
    let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
    let (scheme, rest) = issuer.split_once("://")?;
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let openid = format!("{issuer}/.well-known/openid-configuration").parse().ok()?;
    let oauth =
        format!("{scheme}://{authority}/.well-known/oauth-authorization-server{path}").parse().ok()?;
    Some([openid, oauth])
}

fn read(document: &[u8], issuer: &str) -> Result<Uri, DiscoveryError> {
    let document: Value = serde_json::from_slice(document).map_err(|_| DiscoveryError::NoDocument)?;
    let document = document.as_object().ok_or(DiscoveryError::NoDocument)?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    if text("issuer") != Some(issuer) {
        let found = text("issuer").map(|found| ShortText::new(found.as_bytes()));
        return Err(DiscoveryError::OtherIssuer { found });
    }
    let url = text("jwks_uri").filter(|url| !url.contains('#')).and_then(|url| url.parse::<Uri>().ok());
    let plain = |url: &Uri| url.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    url.filter(plain).ok_or(DiscoveryError::NoKeysUrl)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_document_is_looked_for_in_both_forms() {
        let places = |issuer: &str| well_known(issuer).unwrap().map(|url| url.to_string());
        assert_eq!(
            places("https://id.example.com"),
            [
                "https://id.example.com/.well-known/openid-configuration",
                "https://id.example.com/.well-known/oauth-authorization-server",
            ]
        );
        for issuer in ["https://id.example.com:8443/realms/shop", "https://id.example.com:8443/realms/shop/"]
        {
            assert_eq!(
                places(issuer),
                [
                    "https://id.example.com:8443/realms/shop/.well-known/openid-configuration",
                    "https://id.example.com:8443/.well-known/oauth-authorization-server/realms/shop",
                ]
            );
        }
    }

    #[test]
    fn only_the_issuers_own_document_counts() {
        let url = |document: Value| {
            read(document.to_string().as_bytes(), "https://a")
                .map(|url| url.to_string())
                .map_err(|e| e.outcome())
        };
        let good = json!({ "issuer": "https://a", "jwks_uri": "https://keys.a/k?x=1" });
        assert_eq!(url(good), Ok("https://keys.a/k?x=1".to_owned()));
        for issuer in [json!("https://a/"), json!("https://b"), json!(["https://a"]), json!(null)] {
            assert_eq!(url(json!({ "issuer": issuer, "jwks_uri": "https://a/k" })), Err("other_issuer"));
        }
        for keys in [
            json!(null),
            json!(7),
            json!(""),
            json!("/k"),
            json!("https://me:you@a/k"),
            json!("https://a/k#b"),
        ] {
            assert_eq!(url(json!({ "issuer": "https://a", "jwks_uri": keys })), Err("no_keys_url"), "{keys}");
        }
        for text in ["", "<html>", "[]", "\"https://a\""] {
            assert!(matches!(read(text.as_bytes(), "https://a"), Err(DiscoveryError::NoDocument)), "{text}");
        }
    }
}
