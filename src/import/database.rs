//! `DATABASES["default"]` as the URL of a database.

use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::python::{Known, Located};
use super::remarks::Remarks;
use super::secrets::Secrets;
use super::yaml::Yaml;
use crate::base::Secret;

const SETTING: &str = "DATABASES[\"default\"]";
/// What may stand in a part of a URL as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Keys that say where the database is, or how Django keeps its connections, which is its own affair.
const READ: [&str; 14] = [
    "ENGINE",
    "NAME",
    "USER",
    "PASSWORD",
    "HOST",
    "PORT",
    "OPTIONS",
    "CONN_MAX_AGE",
    "CONN_HEALTH_CHECKS",
    "TEST",
    "ATOMIC_REQUESTS",
    "AUTOCOMMIT",
    "DISABLE_SERVER_SIDE_CURSORS",
    "TIME_ZONE",
];

/// The value of `database:`, or a remark why there is none.
pub(super) fn url(databases: Option<&Located>, secrets: &mut Secrets, remarks: &mut Remarks) -> Option<Yaml> {
    let Some(databases) = databases else {
        remarks.add(0, "DATABASES", "not set in this file: write `issuer.users.django.database` yourself");
        return None;
    };
    let Some(default) = databases.get("default") else {
        remarks.not_read(databases, "DATABASES", "a dict with \"default\"");
        return None;
    };
    match &default.value {
        Known::DatabaseUrl(variable) => {
            let reason = format!(
                "the variable {variable} must hold a URL in Tollgate's form: sqlite://PATH, postgres://… or mysql://…"
            );
            remarks.add(default.line, SETTING, reason);
            return Some(Yaml::with_variables(format!("${{{variable}}}")));
        }
        Known::Dict(entries) => {
            for (key, value) in entries {
                let key = key.text().unwrap_or("a key");
                if !READ.contains(&key) {
                    remarks.add(value.line, format!("{SETTING}[\"{key}\"]"), "not carried over");
                }
            }
        }
        _ => {
            remarks.not_read(default, SETTING, "a dict");
            return None;
        }
    }
    let Some(engine) = default.get("ENGINE").and_then(Located::text) else {
        remarks.not_read(default.get("ENGINE").unwrap_or(default), &named("ENGINE"), "a text");
        return None;
    };
    let backend = engine.rsplit('.').next().unwrap_or_default();
    match backend {
        "sqlite3" => sqlite(default, remarks),
        "postgresql" | "postgresql_psycopg2" | "postgis" => server("postgres", default, secrets, remarks),
        "mysql" => server("mysql", default, secrets, remarks),
        _ => {
            let line = default.get("ENGINE").map_or(default.line, |engine| engine.line);
            remarks.add(
                line,
                named("ENGINE"),
                "not carried over: SQLite, PostgreSQL, MySQL and MariaDB are read",
            );
            None
        }
    }
}

fn named(key: &str) -> String {
    format!("{SETTING}[\"{key}\"]")
}

fn sqlite(default: &Located, remarks: &mut Remarks) -> Option<Yaml> {
    let name = default.get("NAME");
    let path = match name.map(|name| &name.value) {
        Some(Known::Path(path)) => path.clone(),
        Some(Known::Text(text)) => PathBuf::from(text),
        Some(Known::Variable { name, .. }) => {
            return Some(Yaml::with_variables(format!("sqlite://${{{name}}}")));
        }
        _ => {
            remarks.not_read(name.unwrap_or(default), &named("NAME"), "a path");
            return None;
        }
    };
    let line = name.map_or(default.line, |name| name.line);
    let Some(path) = path.to_str().filter(|path| !path.is_empty() && !path.contains(['?', '#'])) else {
        remarks.add(line, named("NAME"), "not carried over: no such path can stand in a URL");
        return None;
    };
    if !path.starts_with('/') {
        remarks.add(
            line,
            named("NAME"),
            "a relative path is seen from the gateway.yaml; Django sees it from where it was started",
        );
    }
    Some(Yaml::text(&format!("sqlite://{path}")))
}

fn server(scheme: &str, default: &Located, secrets: &mut Secrets, remarks: &mut Remarks) -> Option<Yaml> {
    let mut part = |key: &str, fallback: &str| match default.get(key) {
        None => Some(utf8_percent_encode(fallback, ENCODED).to_string()),
        Some(located) => match &located.value {
            Known::Text(text) => Some(utf8_percent_encode(text, ENCODED).to_string()),
            Known::Int(number) => Some(number.to_string()),
            Known::None => Some(String::new()),
            Known::Variable { name, default: None } => Some(format!("${{{name}}}")),
            Known::Variable { name, default: Some(default) } => match &**default {
                Known::Text(text) => Some(format!("${{{name}:-{}}}", utf8_percent_encode(text, ENCODED))),
                Known::Int(number) => Some(format!("${{{name}:-{number}}}")),
                _ => Some(format!("${{{name}}}")),
            },
            _ => {
                remarks.not_read(located, &named(key), "a text");
                None
            }
        },
    };
    let (name, user) = (part("NAME", ""), part("USER", ""));
    let (host, port) = (part("HOST", ""), part("PORT", ""));
    let (name, user, mut host, port) = (name?, user?, host?, port?);
    if name.is_empty() {
        remarks.add(default.line, named("NAME"), "not carried over: a name is needed");
        return None;
    }
    let mut settings = String::new();
    if host.starts_with("%2F") {
        let setting = if scheme == "mysql" { "socket" } else { "host" };
        settings = format!("?{setting}={host}");
        host = "localhost".to_owned();
    } else if host.is_empty() {
        host = "localhost".to_owned();
        if scheme == "postgres" {
            remarks.add(
                default.line,
                named("HOST"),
                "empty: Django takes the socket of this machine; localhost is written here",
            );
        }
    }
    let password = default.get("PASSWORD").and_then(|password| match &password.value {
        Known::Text(text) if text.is_empty() => None,
        Known::Text(text) => {
            let encoded = utf8_percent_encode(text, ENCODED).to_string();
            Some(secrets.variable(
                "DATABASE_PASSWORD",
                &Secret::new(encoded),
                password.line,
                &named("PASSWORD"),
                remarks,
            ))
        }
        Known::Variable { name, .. } => {
            remarks.add(
                password.line,
                named("PASSWORD"),
                format!("taken from the variable {name}: within a URL it must be percent-encoded"),
            );
            Some(name.clone())
        }
        Known::None => None,
        _ => {
            remarks.not_read(password, &named("PASSWORD"), "a text or a variable");
            None
        }
    });
    if let Some(options) = default.get("OPTIONS").filter(|options| options.value != Known::Dict(Vec::new())) {
        remarks.add(options.line, named("OPTIONS"), "not carried over: settings of Django's driver");
    }
    let password = password.map(|variable| format!(":${{{variable}}}")).unwrap_or_default();
    let at = if user.is_empty() && password.is_empty() { "" } else { "@" };
    let port = if port.is_empty() { port } else { format!(":{port}") };
    Some(Yaml::with_variables(format!("{scheme}://{user}{password}{at}{host}{port}/{name}{settings}")))
}
