//! As whom a provider's server is asked.

use crate::base::SecretSource;

use super::mistake::MistakeKind;
use super::model::{Credential, CredentialKind, OwnCertificate};
use super::remote_keys::web_url;
use super::walk::{Node, Section};

/// Reads `credential:`.
pub(super) fn credential(node: &Node<'_>) -> Option<Credential> {
    node.section(|section| {
        let (bearer, basic) = (section.key("bearer"), section.key("basic"));
        let also_to = section.optional("also_to", |node| node.filled_list("at least one server", server));
        let kind = match (&bearer, &basic) {
            (Some(token), None) => bearer_token(token).map(CredentialKind::Bearer),
            (None, Some(node)) => node.section(basic_credential),
            (Some(_), Some(basic)) => basic.refuse_key(MistakeKind::Conflict("\"bearer\"".to_owned()), None),
            (None, None) => {
                let kind = MistakeKind::Expected {
                    expected: "bearer or basic".to_owned(),
                    found: "neither".to_owned(),
                };
                node.refuse_key(kind, None)
            }
        };
        Some(Credential { kind: kind?, also_to: also_to.unwrap_or_default() })
    })
}

fn bearer_token(node: &Node<'_>) -> Option<SecretSource> {
    let (source, secret) = node.secret_source()?;
    if secret.expose().iter().all(u8::is_ascii_graphic) {
        return Some(source);
    }
    node.refuse(MistakeKind::Expected {
        expected: "a bearer token, which is of visible ASCII characters".to_owned(),
        found: "other characters".to_owned(),
    })
}

fn basic_credential(section: &Section<'_, '_>) -> Option<CredentialKind> {
    let username = section.required("username", |node| {
        let name = node.words("a user's name")?;
        // It would end there (RFC 7617, section 2).
        if name.contains(':') { node.expected("a name without a colon") } else { Some(name) }
    });
    let password = section.required("password", Node::secret_source);
    Some(CredentialKind::Basic { username: username?, password: password?.0 })
}

fn server(node: &Node<'_>) -> Option<http::Uri> {
    node.parse("the URL of a server such as https://keys.example.com", |text| {
        let url = web_url(text)?;
        (url.path() == "/" && url.query().is_none()).then_some(url)
    })
}

/// Reads `client_certificate:`.
pub(super) fn client_certificate(node: &Node<'_>) -> Option<OwnCertificate> {
    let file = |node: &Node<'_>| node.file_path("the path of a PEM file");
    node.section(|section| {
        let (certificate, key) = (section.required("certificate", file), section.required("key", file));
        Some(OwnCertificate { certificate: certificate?, key: key? })
    })
}
