//! The statements for one site's tables, and the type of its users' key.

use serde_json::{Number, Value};
use uuid::Uuid;

use crate::config::{DjangoUsers, RolesFrom, TableName};
use crate::store::sql::{Dialect, Sql, Statement};

/// All that is asked and written.
pub(super) struct Statements {
    pub(super) key: Key,
    /// Further columns, after the others.
    pub(super) more: Vec<(String, Kind)>,
    pub(super) by_name: Statement,
    pub(super) by_id: Statement,
    /// Of [`MANY`] ids.
    pub(super) presence: Statement,
    pub(super) groups: Statement,
    pub(super) permissions: Statement,
    pub(super) all_permissions: Statement,
    pub(super) note_login: Option<Statement>,
    pub(super) renew_hash: Statement,
}

/// So many users are looked for at once.
pub(super) const MANY: usize = 50;

/// What the primary key of the user model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// `integer`, `bigint` and their like.
    Integer,
    /// A type of the database's own, written with hyphens.
    Uuid,
    /// 32 hexadecimal digits, as Django keeps a UUID where the database has no type for it.
    UuidDigits,
    /// Anything else.
    Text,
}

impl Key {
    /// Of the type that the database declares.
    fn of(declared: &str) -> Self {
        let declared = declared.to_ascii_lowercase();
        if declared.contains("int") || declared.contains("serial") {
            Self::Integer
        } else if declared == "uuid" {
            Self::Uuid
        } else if matches!(declared.as_str(), "char(32)" | "character(32)") {
            Self::UuidDigits
        } else {
            Self::Text
        }
    }

    /// An id as tokens carry it, from what the database keeps.
    pub(super) fn shown(self, stored: &str) -> Option<String> {
        match self {
            Self::Integer | Self::Text => Some(stored.to_owned()),
            Self::Uuid | Self::UuidDigits => Some(Uuid::try_parse(stored).ok()?.hyphenated().to_string()),
        }
    }

    /// What to ask the database for. `None`: nobody has such an id.
    pub(super) fn parameter(self, id: &str) -> Option<String> {
        match self {
            Self::Integer => Some(id.parse::<i64>().ok()?.to_string()),
            Self::Uuid => Some(Uuid::try_parse(id).ok()?.hyphenated().to_string()),
            Self::UuidDigits => Some(Uuid::try_parse(id).ok()?.simple().to_string()),
            Self::Text => (!id.contains('\0')).then(|| id.to_owned()),
        }
    }

    /// A parameter of this type.
    pub(super) fn placeholder(self, dialect: Dialect) -> String {
        match self {
            Self::Integer => dialect.integer("?"),
            Self::Uuid if dialect == Dialect::Postgres => "CAST(? AS uuid)".to_owned(),
            Self::Uuid | Self::UuidDigits | Self::Text => "?".to_owned(),
        }
    }
}

impl Statements {
    /// Asks for the type of the key, writes the statements, and tries those that look something up.
    pub(super) async fn prepare(sql: &Sql, users: &DjangoUsers) -> Result<Self, sqlx::Error> {
        let dialect = sql.dialect();
        let key = key_type(sql, users).await?;
        let mut more = Vec::new();
        for column in &users.more {
            more.push((column.clone(), Kind::of(&declared_type(sql, users, column).await?)));
        }
        let statements = Self::write(dialect, users, key, more);
        // A user that nobody is: what counts is whether the tables and columns are there.
        let nobody = match key {
            Key::Integer => "-1",
            Key::Uuid => "00000000-0000-0000-0000-000000000000",
            Key::UuidDigits | Key::Text => "",
        };
        sql.rows(&statements.by_name, &[""]).await?;
        sql.rows(&statements.by_id, &[nobody]).await?;
        match users.roles_from {
            RolesFrom::None => {}
            RolesFrom::Groups => drop(sql.rows(&statements.groups, &[nobody]).await?),
            RolesFrom::Permissions => drop(sql.rows(&statements.permissions, &[nobody, nobody]).await?),
        }
        if let Some(note_login) = &statements.note_login {
            sql.execute(note_login, &["0", nobody]).await?;
        }
        Ok(statements)
    }

    fn write(dialect: Dialect, users: &DjangoUsers, key: Key, more: Vec<(String, Kind)>) -> Self {
        let name = |name: &str| dialect.name(name);
        let beside = |table: &str| {
            dialect.table(&TableName { schema: users.table.schema.clone(), table: table.to_owned() })
        };
        let columns = &users.columns;
        let (table, id, one) = (dialect.table(&users.table), name(&columns.id), key.placeholder(dialect));
        let text = |column: &Option<String>| match column {
            Some(column) => dialect.text(&format!("u.{}", name(column))),
            None => "''".to_owned(),
        };
        let truth = |column: &Option<String>, otherwise: &str| match column {
            Some(column) => format!("CASE WHEN u.{} THEN '1' ELSE '0' END", name(column)),
            None => format!("'{otherwise}'"),
        };
        let last_login = match &columns.last_login {
            Some(column) => dialect.seconds(&format!("u.{}", name(column))),
            None => "NULL".to_owned(),
        };
        let also: String = more
            .iter()
            .map(|(column, _)| format!(", {}", dialect.text(&format!("u.{}", name(column)))))
            .collect();
        let select = format!(
            "SELECT {}, {}, {}, {}, {}, {}, {}{also} FROM {table} u",
            dialect.text(&format!("u.{id}")),
            dialect.text(&format!("u.{}", name(&columns.username))),
            dialect.text(&format!("u.{}", name(&columns.password))),
            text(&columns.email),
            truth(&columns.is_active, "1"),
            truth(&columns.is_superuser, "0"),
            dialect.text(&last_login),
        );
        let (user, groups, permissions) = (
            name(&users.user_column),
            dialect.table(&users.groups_table),
            dialect.table(&users.permissions_table),
        );
        let (group, permission) = (beside("auth_group"), beside("auth_permission"));
        let all_permissions = format!(
            "SELECT {}, {} FROM {permission} p JOIN {} c ON c.id = p.content_type_id",
            dialect.text("c.app_label"),
            dialect.text("p.codename"),
            beside("django_content_type"),
        );
        let in_order = "ORDER BY 1, 2";
        let statement = |text: String| dialect.statement(&text);
        Self {
            key,
            more,
            by_name: statement(format!("{select} WHERE u.{} = ? LIMIT 2", name(&columns.username))),
            by_id: statement(format!("{select} WHERE u.{id} = {one}")),
            presence: statement(format!(
                "SELECT {}, {} FROM {table} u WHERE u.{id} IN ({})",
                dialect.text(&format!("u.{id}")),
                truth(&columns.is_active, "1"),
                vec![one.as_str(); MANY].join(", "),
            )),
            groups: statement(format!(
                "SELECT {} FROM {group} g JOIN {groups} m ON m.group_id = g.id WHERE m.{user} = {one} ORDER BY 1",
                dialect.text("g.name"),
            )),
            permissions: statement(format!(
                "{all_permissions} WHERE p.id IN (SELECT o.permission_id FROM {permissions} o WHERE o.{user} = {one}) \
                 OR p.id IN (SELECT r.permission_id FROM {} r JOIN {groups} m ON m.group_id = r.group_id \
                 WHERE m.{user} = {one}) {in_order}",
                beside("auth_group_permissions"),
            )),
            all_permissions: statement(format!("{all_permissions} {in_order}")),
            note_login: columns.last_login.as_ref().map(|column| {
                statement(format!(
                    "UPDATE {table} SET {} = {} WHERE {id} = {one}",
                    name(column),
                    dialect.moment("?")
                ))
            }),
            renew_hash: statement(format!(
                "UPDATE {table} SET {password} = ? WHERE {id} = {one} AND {password} = ?",
                password = name(&columns.password)
            )),
        }
    }
}

/// What a column of the user's table holds, as JSON tells things apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Float,
    Truth,
    Text,
}

impl Kind {
    /// Of the type that the database declares.
    fn of(declared: &str) -> Self {
        let declared = declared.to_ascii_lowercase();
        match declared.split([' ', '(']).next().unwrap_or_default() {
            "bool" | "boolean" => Self::Truth,
            // As MySQL has truth values.
            "tinyint" if declared == "tinyint(1)" => Self::Truth,
            "int" | "integer" | "bigint" | "mediumint" | "smallint" | "tinyint" => Self::Integer,
            "real" | "float" | "double" => Self::Float,
            _ => Self::Text,
        }
    }

    /// A value that the database wrote as a text. SQLite lets any column hold anything: what is no number is a text.
    pub(super) fn value(self, text: String) -> Value {
        let number = match self {
            Self::Integer => text.parse::<i64>().ok().map(Value::from),
            Self::Float => text.parse().ok().and_then(Number::from_f64).map(Value::Number),
            Self::Truth => Some(Value::Bool(matches!(text.as_str(), "1" | "true"))),
            Self::Text => None,
        };
        number.unwrap_or(Value::String(text))
    }
}

/// The declared type of the user table's key.
pub(super) async fn key_type(sql: &Sql, users: &DjangoUsers) -> Result<Key, sqlx::Error> {
    Ok(Key::of(&declared_type(sql, users, &users.columns.id).await?))
}

async fn declared_type(sql: &Sql, users: &DjangoUsers, column: &str) -> Result<String, sqlx::Error> {
    let dialect = sql.dialect();
    let table = &users.table;
    let schema = table.schema.as_deref().unwrap_or_default();
    let quoted = dialect.table(table);
    let (text, values) = match dialect {
        Dialect::Sqlite => {
            ("SELECT type FROM pragma_table_info(?) WHERE name = ?", vec![table.table.as_str(), column])
        }
        Dialect::Postgres => (
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute \
             WHERE attrelid = CAST(? AS regclass) AND attname = ? AND NOT attisdropped",
            vec![quoted.as_str(), column],
        ),
        Dialect::MySql => (
            "SELECT CAST(column_type AS char) FROM information_schema.columns \
             WHERE table_schema = coalesce(nullif(?, ''), database()) AND table_name = ? AND column_name = ?",
            vec![schema, table.table.as_str(), column],
        ),
    };
    let found = sql.rows(&dialect.statement(text), &values).await?;
    let declared = found.into_iter().flatten().flatten().next();
    let missing = || sqlx::Error::ColumnNotFound(format!("{}.{column}", users.table));
    declared.ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0190163d-8694-739b-aea5-966c26f8ad91";

    #[test]
    fn knows_the_keys_that_django_makes() {
        for (declared, key) in [
            ("integer", Key::Integer),
            ("bigint(20)", Key::Integer),
            ("int(11)", Key::Integer),
            ("uuid", Key::Uuid),
            ("char(32)", Key::UuidDigits),
            ("varchar(36)", Key::Text),
            ("character varying(64)", Key::Text),
        ] {
            assert_eq!(Key::of(declared), key, "{declared}");
        }
    }

    #[test]
    fn tells_numbers_and_truth_values_from_texts_by_what_the_databases_declare() {
        for (declared, kind) in [
            ("bool", Kind::Truth),
            ("boolean", Kind::Truth),
            ("tinyint(1)", Kind::Truth),
            ("tinyint(4)", Kind::Integer),
            ("smallint unsigned", Kind::Integer),
            ("bigint(20) unsigned", Kind::Integer),
            ("integer", Kind::Integer),
            ("double precision", Kind::Float),
            ("real", Kind::Float),
            ("interval", Kind::Text),
            ("point", Kind::Text),
            ("character varying(9)", Kind::Text),
            ("numeric(5,2)", Kind::Text),
        ] {
            assert_eq!(Kind::of(declared), kind, "{declared}");
        }
        assert_eq!(Kind::Integer.value("7".to_owned()), 7);
        assert_eq!(Kind::Integer.value("seven".to_owned()), "seven");
        assert_eq!(Kind::Truth.value("0".to_owned()), false);
        assert_eq!(Kind::Float.value("0.5".to_owned()), 0.5);
    }

    #[test]
    fn a_uuid_is_shown_with_hyphens_however_it_is_kept() {
        let digits = UUID.replace('-', "");
        assert_eq!(Key::UuidDigits.shown(&digits).as_deref(), Some(UUID));
        assert_eq!(Key::UuidDigits.parameter(UUID), Some(digits));
        assert_eq!(Key::Uuid.parameter(&UUID.to_uppercase()).as_deref(), Some(UUID));
    }

    #[test]
    fn what_can_be_no_id_is_not_asked_for() {
        for (key, text) in [
            (Key::Integer, "x"),
            (Key::Integer, "99999999999999999999"),
            (Key::Uuid, "7301"),
            (Key::UuidDigits, "' OR 1=1"),
            (Key::Text, "a\0b"),
        ] {
            assert_eq!(key.parameter(text), None, "{text:?}");
        }
    }
}
