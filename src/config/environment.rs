//! `${NAME}` and `${NAME:-default}` in a text of the file.

/// A text after its variables were put in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filled {
    /// The text as meant.
    pub(super) text: String,
    /// Whether any of it comes from the environment or from a default.
    pub(super) has_variables: bool,
    /// Whether any of it stands in the file outside `${…}`.
    pub(super) has_literals: bool,
    /// Whether any of it is a default that stands in the file.
    pub(super) has_defaults: bool,
}

/// Why the variables of a text can't be put in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfilled {
    /// The variable is not set and has no default.
    Unknown(String),
    /// `${` begins nothing that has a meaning.
    Malformed,
}

/// Puts in variables. As in a shell, `:-` counts for an empty variable too; `$${` is written for a `${` that
/// means itself, and any other `$` is one.
pub(super) fn fill(written: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Filled, Unfilled> {
    let mut filled =
        Filled { text: String::new(), has_variables: false, has_literals: false, has_defaults: false };
    let mut rest = written;
    while let Some(at) = rest.find("${") {
        let (before, reference) = rest.split_at(at);
        if let Some(escaped) = before.strip_suffix('$') {
            filled.push_literal(escaped);
            filled.push_literal("${");
            rest = &reference[2..];
            continue;
        }
        filled.push_literal(before);
        let (inside, after) = reference[2..].split_once('}').ok_or(Unfilled::Malformed)?;
        filled.push_variable(inside, lookup)?;
        rest = after;
    }
    filled.push_literal(rest);
    Ok(filled)
}

impl Filled {
    fn push_literal(&mut self, text: &str) {
        self.has_literals |= !text.is_empty();
        self.text.push_str(text);
    }

    fn push_variable(
        &mut self,
        inside: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), Unfilled> {
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_variable(name) {
            return Err(Unfilled::Malformed);
        }
        self.has_variables = true;
        let value = lookup(name).filter(|value| default.is_none() || !value.is_empty());
        match (value, default) {
            (Some(value), _) => self.text.push_str(&value),
            (None, Some(default)) => {
                self.has_defaults |= !default.is_empty();
                self.text.push_str(default);
            }
            (None, None) => return Err(Unfilled::Unknown(name.to_owned())),
        }
        Ok(())
    }
}

fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(written: &str) -> Result<String, Unfilled> {
        let lookup = |name: &str| match name {
            "HOST" => Some("db.internal".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${HOST}".to_owned()),
            _ => None,
        };
        fill(written, &lookup).map(|filled| filled.text)
    }

    #[test]
    fn puts_variables_into_the_text() {
        assert_eq!(filled("http://${HOST}:80"), Ok("http://db.internal:80".into()));
        assert_eq!(filled("${HOST}${HOST}"), Ok("db.internaldb.internal".into()));
        assert_eq!(filled("no variable, $5, $HOST"), Ok("no variable, $5, $HOST".into()));
    }

    #[test]
    fn a_default_stands_in_for_a_variable_that_is_absent_or_empty() {
        assert_eq!(filled("${NONE:-a:b}"), Ok("a:b".into()));
        assert_eq!(filled("${EMPTY:-x}"), Ok("x".into()));
        assert_eq!(filled("${EMPTY}"), Ok(String::new()));
        assert_eq!(filled("${HOST:-x}"), Ok("db.internal".into()));
        assert_eq!(filled("${NONE:-}"), Ok(String::new()));
    }

    #[test]
    fn a_value_is_not_read_for_variables_again() {
        assert_eq!(filled("${NESTED}"), Ok("${HOST}".into()));
    }

    #[test]
    fn a_doubled_dollar_means_itself() {
        assert_eq!(filled("$${HOST}"), Ok("${HOST}".into()));
        assert_eq!(filled("a$${HOST}${HOST}"), Ok("a${HOST}db.internal".into()));
    }

    #[test]
    fn refuses_what_names_no_variable() {
        assert_eq!(filled("${NONE}"), Err(Unfilled::Unknown("NONE".into())));
        for text in ["${", "${}", "${1A}", "${A B}", "${HOST", "${:-x}"] {
            assert_eq!(filled(text), Err(Unfilled::Malformed), "{text:?}");
        }
    }
}
