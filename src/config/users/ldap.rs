//! `ldap:`: a directory.

use std::time::Duration;

use super::LONGEST_IDENTIFIER;
use crate::config::mistake::MistakeKind;
use crate::config::model::{LdapAttributes, LdapBind, LdapFind, LdapUsers};
use crate::config::walk::{Node, Section};

pub(super) fn read(section: &Section<'_, '_>) -> Option<LdapUsers> {
    let start_tls = section.optional("start_tls", Node::boolean).unwrap_or(false);
    let unencrypted = section.optional("allow_unencrypted", Node::boolean).unwrap_or(false);
    let url = section.required("url", |node| {
        let url = node.parse("a URL such as ldaps://ldap.example.com", ldap_url)?;
        if url.starts_with("ldap://") && !start_tls && !unencrypted {
            return node.refuse_with(
                MistakeKind::Expected { expected: "an ldaps:// URL".to_owned(), found: node.shown() },
                "passwords are sent there: set `start_tls: true`; `allow_unencrypted: true` takes it all the same",
            );
        }
        Some(url)
    });
    let ca = section.optional("ca", |node| node.file_path("the path of a PEM file"));
    let find = ldap_find(section);
    let bind = match (section.key("bind_dn"), section.key("bind_password")) {
        (None, None) => Some(None),
        (Some(dn), Some(password)) => {
            let (dn, password) = (dn.words("the name of an entry"), password.secret());
            dn.zip(password).map(|(dn, password)| Some(LdapBind { dn, password }))
        }
        (Some(dn), None) => dn.refuse_key(MistakeKind::Missing("bind_password"), None),
        (None, Some(password)) => password.refuse_key(MistakeKind::Missing("bind_dn"), None),
    };
    let attributes = section.optional("attributes", |node| {
        node.section(|section| {
            let attribute = |name, default: &str| {
                let given = section.optional(name, |node| {
                    node.parse("the name of an attribute such as uid", |text| {
                        is_attribute(text).then(|| text.to_owned())
                    })
                });
                given.unwrap_or_else(|| default.to_owned())
            };
            Some(LdapAttributes {
                id: attribute("id", "entryUUID"),
                username: attribute("username", "uid"),
                email: attribute("email", "mail"),
                roles: attribute("roles", "memberOf"),
            })
        })
    });
    let timeout = section
        .optional("timeout", |node| node.duration(Duration::from_millis(100)..=Duration::from_secs(30)))
        .unwrap_or(Duration::from_secs(5));
    Some(LdapUsers {
        url: url?,
        start_tls,
        ca,
        find: find?,
        bind: bind?,
        attributes: attributes.unwrap_or_else(|| LdapAttributes {
            id: "entryUUID".to_owned(),
            username: "uid".to_owned(),
            email: "mail".to_owned(),
            roles: "memberOf".to_owned(),
        }),
        more: Vec::new(),
        timeout,
    })
}

/// Scheme, host and port, and nothing behind them.
fn ldap_url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let authority: http::uri::Authority = rest.strip_suffix('/').unwrap_or(rest).parse().ok()?;
    let bare = !authority.as_str().contains('@') && !authority.host().is_empty();
    (matches!(scheme, "ldap" | "ldaps") && bare).then(|| format!("{scheme}://{authority}"))
}

/// A descriptor (RFC 4512, section 1.4).
pub(in crate::config) fn is_attribute(text: &str) -> bool {
    text.len() <= LONGEST_IDENTIFIER
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn ldap_find(section: &Section<'_, '_>) -> Option<LdapFind> {
    let template = |node: &Node<'_>, example: &str| {
        node.parse(example, |text| {
            let sound = text.matches("{username}").count() == 1 && !text.contains(char::is_control);
            sound.then(|| text.to_owned())
        })
    };
    match (section.key("user_dn"), section.key("search")) {
        (Some(dn), None) => {
            template(&dn, "a name such as uid={username},ou=people,dc=example,dc=com").map(LdapFind::Dn)
        }
        (None, Some(search)) => search.section(|section| {
            let base = section.required("base", |node| node.words("the name of an entry"));
            let filter =
                section.required("filter", |node| template(node, "a filter such as (uid={username})"));
            Some(LdapFind::Search { base: base?, filter: filter? })
        }),
        (Some(_), Some(search)) => search.refuse_key(MistakeKind::Conflict("\"user_dn\"".to_owned()), None),
        (None, None) => section.node().refuse_key(
            MistakeKind::Missing("user_dn"),
            Some("or search: { base: …, filter: (uid={username}) }".to_owned()),
        ),
    }
}
