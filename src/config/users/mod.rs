//! `users:` of the issuer: where those live who may log in.
//!
//! Names of tables, columns and attributes become a part of queries, so they are letters, digits and `_` here and
//! nothing else.

mod django;
mod http;
mod ldap;

pub(super) use ldap::is_attribute;

use std::net::IpAddr;

use percent_encoding::percent_decode_str;

use crate::base::Secret;

use super::mistake::MistakeKind;
use super::model::{Database, DatabaseTlsFiles, DatabaseUrl, Users};
use super::walk::Node;
use super::written::Value;

/// PostgreSQL cuts longer ones off.
const LONGEST_IDENTIFIER: usize = 63;
const PLACES: &str = "own, or one of { django: … }, { file: … }, { http: … } and { ldap: … }";
const DATABASE: &str =
    "a database such as sqlite://PATH, postgres://USER@HOST/NAME or mysql://USER@HOST/NAME";

/// Reads `users:`.
pub(super) fn read(node: &Node<'_>) -> Option<Users> {
    if !matches!(node.value(), Value::Map(_)) {
        return node.parse(PLACES, |text| (text == "own").then_some(Users::Own));
    }
    node.section(|section| {
        let places = ["django", "file", "http", "ldap"].map(|name| (name, section.key(name)));
        let mut named = places.into_iter().filter_map(|(name, node)| Some((name, node?)));
        let Some((name, place)) = named.next() else {
            return section.node().expected(PLACES);
        };
        if let Some((_, second)) = named.next() {
            return second.refuse_key(MistakeKind::Conflict(format!("\"{name}\"")), None);
        }
        match name {
            "django" => place.section(django::read).map(|users| Users::Django(Box::new(users))),
            "file" => place.file_path("the path of a file").map(Users::File),
            "http" => place.section(http::read).map(|users| Users::Http(Box::new(users))),
            _ => place.section(ldap::read).map(|users| Users::Ldap(Box::new(users))),
        }
    })
}

/// Reads the URL of a database.
pub(super) fn database(node: &Node<'_>) -> Option<Database> {
    let filled = node.filled(DATABASE)?;
    let Some((scheme, rest)) = filled.text.split_once("://") else {
        return node.expected(DATABASE);
    };
    if filled.text.contains(char::is_control) {
        return node.expected(DATABASE);
    }
    if scheme == "sqlite" {
        if rest.contains(['?', '#']) {
            return node.refuse_with(MistakeKind::NotAvailable, "use sqlite://PATH without settings");
        }
        if rest.is_empty() || rest.ends_with('/') {
            return node.expected(DATABASE);
        }
        return Some(Database::Sqlite(node.reader().beside(rest)));
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, name) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let has_password = user.contains(':') || query.contains("password=");
    if has_password && !filled.has_variables {
        return node
            .refuse_with(MistakeKind::LiteralSecret, "write ${NAME} for the password, or for the whole URL");
    }
    if name.is_empty() || name.contains('/') {
        return node.expected(DATABASE);
    }
    let last_of = |names: &[&str]| {
        let settings = query.split('&').filter_map(|setting| setting.split_once('='));
        settings.filter(|(key, _)| names.contains(key)).map(|(_, value)| value).next_back()
    };
    let setting = |name: &str| last_of(&[name]);
    let host_is_local = |host: &str| {
        let bare = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let bare = bare.map_or(host, |(host, _)| host).trim_matches(['[', ']']);
        bare.is_empty()
            || bare == "localhost"
            || bare.starts_with("%2F")
            || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    let by_setting = setting("hostaddr")
        .or_else(|| setting("host"))
        .map(|host| percent_decode_str(host).decode_utf8_lossy().into_owned());
    let is_local = match (&by_setting, setting("socket")) {
        (_, Some(_)) => true,
        (Some(host), None) => host.starts_with('/') || host_is_local(host),
        (None, None) => host_is_local(host),
    };
    let shown = format!("{scheme}://{host}/{name}");
    let says_tls = last_of(&["sslmode", "ssl-mode"]).is_some();
    let file = |names: &[&str]| {
        let path = percent_decode_str(last_of(names)?).decode_utf8_lossy();
        Some(node.reader().beside(&path))
    };
    let tls_files = DatabaseTlsFiles {
        authority: file(&["sslrootcert", "ssl-root-cert", "sslca", "ssl-ca"]),
        certificate: file(&["sslcert", "ssl-cert"]),
        key: file(&["sslkey", "ssl-key"]),
    };
    let url = DatabaseUrl { url: Secret::new(filled.text.as_str()), shown, says_tls, tls_files, is_local };
    match scheme {
        "postgres" | "postgresql" => Some(Database::Postgres(url)),
        "mysql" | "mariadb" => Some(Database::MySql(url)),
        _ => node.expected(DATABASE),
    }
}

pub(super) fn is_identifier(text: &str) -> bool {
    text.len() <= LONGEST_IDENTIFIER
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
