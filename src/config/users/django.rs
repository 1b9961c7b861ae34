//! `django:`: the tables of a Django site, and its blacklist of tokens.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::{database, is_identifier};
use crate::config::mistake::MistakeKind;
use crate::config::model::{
    DjangoColumns, DjangoHasher, DjangoPasswords, DjangoUsers, Mirror, RolesFrom, TableName, TokenBlacklist,
};
use crate::config::walk::{Node, Section};
use crate::config::written::Value;

/// Django 5.2's own.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(1_000_000).expect("not zero");

pub(super) fn read(section: &Section<'_, '_>) -> Option<DjangoUsers> {
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
