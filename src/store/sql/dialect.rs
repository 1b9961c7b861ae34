//! What the three databases say in different words.

use std::fmt::Write as _;

use super::Statement;
use crate::config::TableName;

/// Whose SQL it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Dialect {
    Sqlite,
    Postgres,
    MySql,
}

impl Dialect {
    /// A statement whose parameters are written `?`.
    pub(in crate::store) fn statement(self, text: &str) -> Statement {
        if self != Self::Postgres {
            return text.into();
        }
        let mut parts = text.split('?');
        let mut numbered = parts.next().unwrap_or_default().to_owned();
        for (number, part) in (1..).zip(parts) {
            // Without the type, the place decides what is taken: a text is asked for everywhere.
            write!(numbered, "CAST(${number} AS text){part}").expect("a string takes all text");
        }
        numbered.into()
    }

    /// A name in quotes. Not in double ones for SQLite, which takes those of an unknown name for a text.
    pub(in crate::store) fn name(self, name: &str) -> String {
        debug_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{name:?}");
        match self {
            Self::Postgres => format!("\"{name}\""),
            Self::Sqlite | Self::MySql => format!("`{name}`"),
        }
    }

    /// A table's name in quotes.
    pub(in crate::store) fn table(self, name: &TableName) -> String {
        let schema = name.schema.iter().map(|schema| format!("{}.", self.name(schema)));
        schema.chain([self.name(&name.table)]).collect()
    }

    /// A value as text.
    pub(in crate::store) fn text(self, value: &str) -> String {
        match self {
            Self::Sqlite | Self::Postgres => format!("CAST({value} AS text)"),
            Self::MySql => format!("CAST({value} AS char)"),
        }
    }

    /// A text as a whole number.
    pub(in crate::store) fn integer(self, text: &str) -> String {
        match self {
            Self::Sqlite => format!("CAST({text} AS integer)"),
            Self::Postgres => format!("CAST({text} AS bigint)"),
            Self::MySql => format!("CAST({text} AS signed)"),
        }
    }

    /// A moment that Django stored, as seconds since 1970.
    pub(in crate::store) fn seconds(self, time: &str) -> String {
        match self {
            Self::Sqlite => self.text(&format!("strftime('%s', {time})")),
            Self::Postgres => self.text(&format!("CAST(floor(extract(epoch FROM {time})) AS bigint)")),
            Self::MySql => self.text(&format!("timestampdiff(SECOND, '1970-01-01', {time})")),
        }
    }

    /// Seconds since 1970 as a moment that Django reads: in UTC.
    pub(in crate::store) fn moment(self, seconds: &str) -> String {
        let seconds = self.integer(seconds);
        match self {
            Self::Sqlite => format!("datetime({seconds}, 'unixepoch')"),
            Self::Postgres => format!("to_timestamp({seconds})"),
            Self::MySql => format!("timestamp('1970-01-01') + INTERVAL {seconds} SECOND"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_parameters_where_the_database_wants_numbers() {
        let text = "UPDATE t SET a = ? WHERE b = ?";
        assert_eq!(&*Dialect::MySql.statement(text), text);
        assert_eq!(
            &*Dialect::Postgres.statement(text),
            "UPDATE t SET a = CAST($1 AS text) WHERE b = CAST($2 AS text)"
        );
    }
}
