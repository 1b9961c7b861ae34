//! `{tenant}` within a URL: the one part that differs between the tenants of a provider.
//!
//! It is found by comparing bytes, not by reading a URL: what comes before and after must be there as it stands in the
//! file, and what is between is of a small alphabet without any sign that has a meaning in a URL. So two readers of the
//! text can't differ in which host or path it names.

use std::fmt;

use super::remote_keys::web_url;

const PLACEHOLDER: &str = "{tenant}";
/// RFC 1035, section 2.3.4.
const LONGEST_LABEL: usize = 63;
const LONGEST_SEGMENT: usize = 128;

/// A URL with `{tenant}` in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TenantPattern {
    before: Box<str>,
    after: Box<str>,
    place: TenantPlace,
}

/// Where in a URL the tenant stands; it decides what a tenant may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TenantPlace {
    /// The first label of the host: 1 to 63 of `a-z`, `0-9`, `-`, with none of the last at an end.
    Host,
    /// A segment of the path: 1 to 128 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `-`, with no dot at the beginning.
    Path,
}

impl TenantPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence that begins with the text.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (before, after) = text.split_once(PLACEHOLDER).ok_or("has braces that are not {tenant}")?;
        if before.contains(['{', '}']) || after.contains(['{', '}']) {
            return Err("must have {tenant} once, and no other braces");
        }
        let is_plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !br"\%@?#".contains(&byte));
        if !is_plain(before) || !is_plain(after) || web_url(&format!("{before}tenant{after}")).is_none() {
            return Err("is no plain URL such as https://login.example.com/{tenant}/v2.0");
        }
        let (_, host) = before.split_once("://").ok_or("is no URL")?;
        let place = if host.is_empty() {
            let domain = after.split(['/', ':']).next().unwrap_or_default();
            let labels: Vec<&str> = domain.split('.').collect();
            // Below one label alone anybody could have a name.
            if !matches!(labels.as_slice(), ["", rest @ ..] if rest.len() >= 2 && rest.iter().all(|label| !label.is_empty()))
            {
                return Err("must have a domain of its own after {tenant}, such as {tenant}.example.com");
            }
            TenantPlace::Host
        } else if host.contains('/') && host.ends_with('/') && (after.is_empty() || after.starts_with('/')) {
            TenantPlace::Path
        } else {
            return Err(
                "must have {tenant} as a whole segment of the path or as the first label of the host",
            );
        };
        Ok(Self { before: before.into(), after: after.into(), place })
    }

    /// Where the tenant stands.
    #[must_use]
    pub const fn place(&self) -> TenantPlace {
        self.place
    }

    /// The tenant of a URL that fits, byte by byte.
    #[must_use]
    pub fn tenant_of<'u>(&self, url: &'u str) -> Option<&'u str> {
        let tenant = url.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        self.place.takes(tenant).then_some(tenant)
    }

    /// The URL of a tenant whose name fits.
    #[must_use]
    pub fn url_of(&self, tenant: &str) -> Option<String> {
        self.place.takes(tenant).then(|| format!("{}{tenant}{}", self.before, self.after))
    }
}

impl TenantPlace {
    /// Whether a tenant may be called so.
    #[must_use]
    pub fn takes(self, tenant: &str) -> bool {
        let bytes = tenant.as_bytes();
        match self {
            Self::Host => {
                (1..=LONGEST_LABEL).contains(&bytes.len())
                    && bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
                    && !tenant.starts_with('-')
                    && !tenant.ends_with('-')
            }
            Self::Path => {
                (1..=LONGEST_SEGMENT).contains(&bytes.len())
                    && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
                    && !tenant.starts_with('.')
            }
        }
    }

    /// The rule, for a mistake.
    pub(super) const fn rule(self) -> &'static str {
        match self {
            Self::Host => "1 to 63 lower-case letters, digits and \"-\", as in a host name",
            Self::Path => "1 to 128 letters, digits, \".\", \"_\" and \"-\", with no dot at the beginning",
        }
    }
}

impl fmt::Display for TenantPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{PLACEHOLDER}{}", self.before, self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const IN_PATH: &str = "https://login.example.com/{tenant}/v2.0";
    const IN_HOST: &str = "https://{tenant}.id.example.com/oauth2/default";

    fn pattern(text: &str) -> TenantPattern {
        TenantPattern::parse(text).unwrap_or_else(|problem| panic!("{text} {problem}"))
    }

    #[test]
    fn the_tenant_is_a_whole_segment_or_the_first_label() {
        for (text, place) in [
            (IN_PATH, TenantPlace::Path),
            ("https://login.example.com:8443/{tenant}", TenantPlace::Path),
            ("http://127.0.0.1:8443/realms/{tenant}/", TenantPlace::Path),
            (IN_HOST, TenantPlace::Host),
            ("https://{tenant}.example.com", TenantPlace::Host),
            ("https://{tenant}.example.com:8443/", TenantPlace::Host),
        ] {
            assert_eq!(pattern(text).place(), place, "{text}");
            assert_eq!(pattern(text).to_string(), text);
        }
        for text in [
            "https://login.example.com/a-{tenant}/v2.0",
            "https://login.example.com/{tenant}x",
            "https://login.example.com/{tenant}/{tenant}",
            "https://login.example.com/{tenant}/{realm}",
            "https://login.example.com/{realm}",
            "https://login.example.com/{tenant",
            "https://{tenant}",
            "https://{tenant}/",
            "https://{tenant}.com/",
            "https://{tenant}.example..com/",
            "https://{tenant}.",
            "https://id.{tenant}.example.com/",
            "https://id-{tenant}.example.com/",
            "https://login.example.com:{tenant}/",
            "https://{tenant}@login.example.com/",
            "https://me@login.example.com/{tenant}",
            "https://login.example.com/?tenant={tenant}",
            "https://login.example.com/#{tenant}",
            "https://login.example.com\\{tenant}",
            "https://login.example.com/%2f/{tenant}",
            "https://login.exämple.com/{tenant}",
            "https:/{tenant}/",
            "ftp://login.example.com/{tenant}",
            "login.example.com/{tenant}",
            "{tenant}",
        ] {
            assert!(TenantPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_url_that_plays_with_its_reader_has_no_tenant() {
        assert_eq!(pattern(IN_PATH).tenant_of("https://login.example.com/contoso/v2.0"), Some("contoso"));
        assert_eq!(pattern(IN_HOST).tenant_of("https://acme.id.example.com/oauth2/default"), Some("acme"));
        for tenant in [
            "",
            ".",
            "..",
            "...",
            ".well-known",
            "a/b",
            "a//b",
            "/a",
            "a/",
            "a/../b",
            "%2e%2e",
            "a%2fb",
            "a%00",
            "a\\b",
            "a@evil.example",
            "me:you@evil.example",
            "a:443",
            "a?b",
            "a#b",
            "a;b",
            "a b",
            "a\n",
            "\ta",
            "a\r\nHost: b",
            "a\0",
            "ä",
            "\u{ff0f}",
            "a\u{200b}",
            "\u{2024}\u{2024}",
            "{tenant}",
            "*",
            "a,b",
            "+",
            "~",
            "$",
            "(",
            "'",
        ] {
            assert_eq!(
                pattern(IN_PATH).tenant_of(&format!("https://login.example.com/{tenant}/v2.0")),
                None,
                "{tenant:?}"
            );
            assert_eq!(
                pattern(IN_HOST).tenant_of(&format!("https://{tenant}.id.example.com/oauth2/default")),
                None,
                "{tenant:?}"
            );
        }
        for tenant in ["Acme", "a_b", "a.b", "-a", "a-", "evil.example.com", &"a".repeat(64)] {
            assert_eq!(
                pattern(IN_HOST).tenant_of(&format!("https://{tenant}.id.example.com/oauth2/default")),
                None,
                "{tenant:?}"
            );
        }
        assert_eq!(
            pattern(IN_PATH).tenant_of(&format!("https://login.example.com/{}/v2.0", "a".repeat(129))),
            None
        );
        for url in [
            "http://login.example.com/contoso/v2.0",
            "HTTPS://login.example.com/contoso/v2.0",
            "https://LOGIN.example.com/contoso/v2.0",
            "https://login.example.com./contoso/v2.0",
            "https://login.example.com:443/contoso/v2.0",
            "https://login.example.com:8443/contoso/v2.0",
            "https://login.example.com@evil.example/contoso/v2.0",
            "https://me@login.example.com/contoso/v2.0",
            "https://login.example.com//contoso/v2.0",
            "https://login.example.com/contoso//v2.0",
            "https://login.example.com/contoso/v2.0/",
            "https://login.example.com/contoso/v2.0/.",
            "https://login.example.com/contoso/V2.0",
            "https://login.example.com/contoso/v2.0?a",
            "https://login.example.com/contoso/v2.0#a",
            "https://login.example.com/contoso/v2.0\n",
            " https://login.example.com/contoso/v2.0",
            "https:\\\\login.example.com\\contoso\\v2.0",
            "https://login.example.com\\contoso/v2.0",
            "https://evil.example/https://login.example.com/contoso/v2.0",
            "https://login.example.com/v2.0",
            "https://login.example.com/",
            "login.example.com/contoso/v2.0",
        ] {
            assert_eq!(pattern(IN_PATH).tenant_of(url), None, "{url:?}");
        }
    }

    proptest! {
        /// Whatever the text, a tenant that is found has a URL that is the text itself, with the host of the file.
        #[test]
        fn a_tenant_never_leads_to_another_host(
            text in r#"(https://login\.example\.com/)?[a-zA-Z0-9._@:/\\%?#\-\n é]{0,12}(/v2\.0)?"#,
        ) {
            let pattern = pattern(IN_PATH);
            if let Some(tenant) = pattern.tenant_of(&text) {
                prop_assert_eq!(pattern.url_of(tenant), Some(text.clone()));
                let url: http::Uri = text.parse().unwrap();
                prop_assert_eq!(url.authority().unwrap().as_str(), "login.example.com");
                prop_assert_eq!(url.path(), format!("/{tenant}/v2.0"));
                prop_assert_eq!(url.query(), None);
            }
        }

        /// As above, where the tenant is a part of the host.
        #[test]
        fn a_tenant_never_leads_out_of_its_domain(
            text in r#"(https://)?[a-z0-9._@:/\\%?#\-A \n]{0,12}(\.id\.example\.com/oauth2/default)?"#,
        ) {
            let pattern = pattern(IN_HOST);
            if let Some(tenant) = pattern.tenant_of(&text) {
                let url: http::Uri = text.parse().unwrap();
                prop_assert_eq!(url.authority().unwrap().as_str(), format!("{tenant}.id.example.com"));
                prop_assert_eq!(url.path(), "/oauth2/default");
            }
        }

        /// What fits is found.
        #[test]
        fn every_name_that_fits_is_its_own_tenant(tenant in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?") {
            for text in [IN_PATH, IN_HOST] {
                let pattern = pattern(text);
                let url = pattern.url_of(&tenant).unwrap();
                prop_assert_eq!(pattern.tenant_of(&url), Some(tenant.as_str()));
            }
        }
    }
}
