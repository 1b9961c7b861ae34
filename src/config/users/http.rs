//! `http:`: a login URL of the application.

use super::super::remote_keys::{fetch_options, web_url};
use crate::config::mistake::MistakeKind;
use crate::config::model::{HttpFields, HttpUsers};
use crate::config::walk::{Node, Section};

pub(super) fn read(section: &Section<'_, '_>) -> Option<HttpUsers> {
    let fetch = fetch_options(section);
    let url = section.required("url", |node| {
        let url = node.parse("a URL such as https://app.example.com/login", web_url)?;
        if url.scheme_str() == Some("http") && !fetch.allow_http { not_encrypted(node) } else { Some(url) }
    });
    let check_url = section.optional("check_url", |node| {
        let expected = "a URL such as https://app.example.com/users/{id}";
        let text = node.parse(expected, |text| {
            let host_is_fixed = text.splitn(4, '/').take(3).all(|part| !part.contains('{'));
            let url = web_url(&text.replace("{id}", "1"));
            (text.matches("{id}").count() == 1 && host_is_fixed && url.is_some()).then(|| text.to_owned())
        })?;
        if text.starts_with("http://") && !fetch.allow_http { not_encrypted(node) } else { Some(text) }
    });
    let fields = section.optional("fields", |node| {
        node.section(|section| {
            let member = |name, default: &str| {
                section
                    .optional(name, |node| node.words("the name of a member"))
                    .unwrap_or_else(|| default.to_owned())
            };
            Some(HttpFields {
                username: member("username", "username"),
                password: member("password", "password"),
            })
        })
    });
    let path =
        |name, default: &str| section.optional(name, Node::claim_path).or_else(|| default.parse().ok());
    let (id, username) = (path("id", "id"), path("username", "username"));
    let (email, roles) = (path("email", "email"), path("roles", "roles"));
    Some(HttpUsers {
        url: url?,
        check_url,
        fields: fields.unwrap_or_else(|| HttpFields {
            username: "username".to_owned(),
            password: "password".to_owned(),
        }),
        id: id?,
        username: username?,
        email: email?,
        roles: roles?,
        more: Vec::new(),
        fetch,
    })
}

fn not_encrypted<T>(node: &Node<'_>) -> Option<T> {
    node.refuse_with(
        MistakeKind::Expected { expected: "an https:// URL".to_owned(), found: node.shown() },
        "passwords are sent there; `fetch: { allow_http: true }` takes it all the same",
    )
}
