//! `users:` of the issuer: where those live who may log in.
//!
//! Names of tables, columns and attributes become a part of queries, so they are letters, digits and `_` here and
//! nothing else.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::base::Secret;

use super::mistake::MistakeKind;
use super::model::{
    Database, DatabaseUrl, DjangoColumns, DjangoHasher, DjangoPasswords, DjangoUsers, HttpFields, HttpUsers,
    LdapAttributes, LdapBind, LdapFind, LdapUsers, Mirror, RolesFrom, TableName, TokenBlacklist, Users,
};
use super::remote_keys::{fetch_options, web_url};
use super::walk::{Node, Section};
use super::written::Value;

/// PostgreSQL cuts longer ones off.
const LONGEST_IDENTIFIER: usize = 63;
/// Django 5.2's own.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(1_000_000).expect("not zero");
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
            "django" => place.section(django).map(|users| Users::Django(Box::new(users))),
            "file" => place.file_path("the path of a file").map(Users::File),
            "http" => place.section(http).map(|users| Users::Http(Box::new(users))),
            _ => place.section(ldap).map(|users| Users::Ldap(Box::new(users))),
        }
    })
}

fn django(section: &Section<'_, '_>) -> Option<DjangoUsers> {
    let database = section.required("database", database);
    let table = section.optional("table", table);
    let columns = section.optional("columns", |node| node.section(columns));
    let roles_from = section.optional("roles_from", |node| {
        node.choice(&[
            ("groups", RolesFrom::Groups),
            ("permissions", RolesFrom::Permissions),
            ("none", RolesFrom::None),
        ])
    });
    let groups_table = section.optional("groups_table", self::table);
    let permissions_table = section.optional("permissions_table", self::table);
    let user_column = section.optional("user_column", identifier);
    let hashers = section.optional("hashers", hashers);
    let iterations = section.optional("pbkdf2_iterations", |node| {
        let number = node.integer(1..=10_000_000)?;
        u32::try_from(number).ok().and_then(NonZeroU32::new)
    });
    let token_blacklist = section.key("token_blacklist");
    let rewrite = section.optional("rewrite_hashes", Node::boolean).unwrap_or(true);
    let table = table.unwrap_or_else(|| TableName { schema: None, table: "auth_user".to_owned() });
    let beside =
        |suffix| TableName { schema: table.schema.clone(), table: format!("{}{suffix}", table.table) };
    Some(DjangoUsers {
        database: database?,
        columns: columns.unwrap_or_else(default_columns),
        roles_from: roles_from.unwrap_or(RolesFrom::Groups),
        groups_table: groups_table.unwrap_or_else(|| beside("_groups")),
        permissions_table: permissions_table.unwrap_or_else(|| beside("_user_permissions")),
        user_column: user_column.unwrap_or_else(|| "user_id".to_owned()),
        passwords: Arc::new(DjangoPasswords {
            hashers: hashers.unwrap_or_else(|| DjangoHasher::DEFAULT.to_vec()),
            iterations: iterations.unwrap_or(ITERATIONS),
            rewrite,
        }),
        more: Vec::new(),
        token_blacklist: token_blacklist.and_then(|node| token_blacklist_tables(&node, &table)),
        table,
    })
}

/// The tables of SimpleJWT's blacklist. `None`: `off`, or a mistake.
fn token_blacklist_tables(node: &Node<'_>, users: &TableName) -> Option<TokenBlacklist> {
    if is_off(node) {
        return None;
    }
    node.section(|section| {
        let beside = |name: &str| TableName { schema: users.schema.clone(), table: name.to_owned() };
        let outstanding = section.optional("outstanding_table", table);
        let blacklisted = section.optional("blacklisted_table", table);
        let mirror = match section.key("mirror") {
            None => Mirror::Off,
            Some(node) if matches!(node.value(), Value::Map(_)) => node.section(|section| {
                let with_text = section.required("token_text", Node::boolean)?;
                Some(if with_text { Mirror::WithText } else { Mirror::Rows })
            })?,
            Some(node) => {
                if node.boolean()? {
                    Mirror::Rows
                } else {
                    Mirror::Off
                }
            }
        };
        Some(TokenBlacklist {
            outstanding: outstanding.unwrap_or_else(|| beside("token_blacklist_outstandingtoken")),
            blacklisted: blacklisted.unwrap_or_else(|| beside("token_blacklist_blacklistedtoken")),
            mirror,
        })
    })
}

fn is_off(node: &Node<'_>) -> bool {
    matches!(node.value(), Value::Bool(false)) || matches!(node.value(), Value::Text(text) if text == "off")
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
    let setting = |name: &str| {
        let settings = query.split('&').filter_map(|setting| setting.split_once('='));
        settings.filter(|(key, _)| *key == name).map(|(_, value)| value).next_back()
    };
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
    let says_tls = setting("sslmode").or_else(|| setting("ssl-mode")).is_some();
    let url = DatabaseUrl { url: Secret::new(filled.text.as_str()), shown, says_tls, is_local };
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

fn identifier(node: &Node<'_>) -> Option<String> {
    node.parse("a name of letters, digits and \"_\"", |text| is_identifier(text).then(|| text.to_owned()))
}

fn table(node: &Node<'_>) -> Option<TableName> {
    node.parse("the name of a table such as auth_user or schema.auth_user", |text| {
        let (schema, table) = match text.split_once('.') {
            Some((schema, table)) => (Some(schema), table),
            None => (None, text),
        };
        let sound = is_identifier(table) && schema.is_none_or(is_identifier);
        sound.then(|| TableName { schema: schema.map(str::to_owned), table: table.to_owned() })
    })
}

fn default_columns() -> DjangoColumns {
    let named = |name: &str| Some(name.to_owned());
    DjangoColumns {
        id: "id".to_owned(),
        username: "username".to_owned(),
        password: "password".to_owned(),
        email: named("email"),
        is_active: named("is_active"),
        is_superuser: named("is_superuser"),
        last_login: named("last_login"),
    }
}

fn columns(section: &Section<'_, '_>) -> Option<DjangoColumns> {
    let default = default_columns();
    let needed = |name, default| section.optional(name, identifier).unwrap_or(default);
    let absent = |name, default| match section.optional(name, identifier) {
        Some(column) if column == "none" => None,
        Some(column) => Some(column),
        None => default,
    };
    Some(DjangoColumns {
        id: needed("id", default.id),
        username: needed("username", default.username),
        password: needed("password", default.password),
        email: absent("email", default.email),
        is_active: absent("is_active", default.is_active),
        is_superuser: absent("is_superuser", default.is_superuser),
        last_login: absent("last_login", default.last_login),
    })
}

fn hashers(node: &Node<'_>) -> Option<Vec<DjangoHasher>> {
    let choices = DjangoHasher::ALL.map(|hasher| (hasher.name(), hasher));
    let mut hashers = Vec::new();
    node.filled_list("a list of hashers such as [pbkdf2_sha256, argon2]", |node| {
        let hasher = node.choice(&choices)?;
        if hashers.contains(&hasher) {
            return node.refuse(MistakeKind::Repeated(node.shown()));
        }
        if hasher == DjangoHasher::Md5 {
            if hashers.is_empty() {
                return node.refuse_with(
                    MistakeKind::Expected {
                        expected: "a hasher for new passwords".to_owned(),
                        found: node.shown(),
                    },
                    "put it after another, which replaces such hashes at the next login",
                );
            }
            node.warn("md5 is no protection: whoever reads the table has most of its passwords");
        }
        hashers.push(hasher);
        Some(hasher)
    })
}

fn http(section: &Section<'_, '_>) -> Option<HttpUsers> {
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

fn ldap(section: &Section<'_, '_>) -> Option<LdapUsers> {
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
pub(super) fn is_attribute(text: &str) -> bool {
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
