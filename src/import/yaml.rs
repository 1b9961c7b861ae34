//! Writes YAML that a person may go on with: blocks, small maps in one line, comments.

use std::fmt::Write as _;

/// A value to be written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Yaml {
    /// A word, number or duration that needs no quotes.
    Plain(String),
    /// A text that means itself.
    Text(String),
    /// `[a, b]`
    List(Vec<Yaml>),
    /// `{ a: b }`, in one line.
    Inline(Vec<(&'static str, Yaml)>),
    /// A section.
    Block(Vec<(&'static str, Yaml)>),
    /// A list of sections.
    Blocks(Vec<Vec<(&'static str, Yaml)>>),
}

impl Yaml {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self::Plain(text.into())
    }

    /// A text of somebody else's, in which nothing may be taken for a variable.
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.replace("${", "$${"))
    }

    /// A text in which variables are meant as such.
    pub(super) fn with_variables(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

/// Writes the keys of a section.
pub(super) fn write(entries: &[(&'static str, Yaml)], indent: usize, out: &mut String) {
    for (key, value) in entries {
        let _ = write!(out, "{:indent$}{key}:", "");
        match value {
            Yaml::Block(entries) if !entries.is_empty() => {
                out.push('\n');
                write(entries, indent + 2, out);
            }
            Yaml::Blocks(items) => {
                out.push('\n');
                for item in items {
                    let mut text = String::new();
                    write(item, indent + 4, &mut text);
                    let _ = write!(out, "{:indent$}  - {}", "", text.trim_start());
                }
            }
            value => {
                out.push(' ');
                inline(value, out);
                out.push('\n');
            }
        }
    }
}

fn inline(value: &Yaml, out: &mut String) {
    match value {
        Yaml::Plain(text) => out.push_str(text),
        Yaml::Text(text) => out.push_str(&quoted(text)),
        Yaml::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                inline(item, out);
            }
            out.push(']');
        }
        Yaml::Inline(entries) | Yaml::Block(entries) if entries.is_empty() => out.push_str("{}"),
        Yaml::Inline(entries) | Yaml::Block(entries) => {
            out.push_str("{ ");
            for (at, (key, value)) in entries.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                let _ = write!(out, "{key}: ");
                inline(value, out);
            }
            out.push_str(" }");
        }
        Yaml::Blocks(_) => unreachable!("lists of sections are written as blocks only"),
    }
}

/// As it is where every reader takes it for this text, else in double quotes, whose escapes are those of JSON.
fn quoted(text: &str) -> String {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/'))
        && !["true", "false", "null", "yes", "no", "on", "off", "any", "y", "n"]
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word));
    if is_word { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_every_reader_takes_for_the_same_text() {
        for text in [
            "word", "true", "No", "", " a", "1.5", "a: b", "# x", "\"", "\\", "\n", "é", "\u{2028}", "a,b]",
            "-", "~",
        ] {
            let mut out = String::new();
            write(&[("key", Yaml::List(vec![Yaml::text(text)]))], 0, &mut out);
            let read: serde_json::Value =
                serde_yaml::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
            assert_eq!(read["key"][0], text, "{out}");
        }
    }

    #[test]
    fn a_text_of_somebody_elses_names_no_variable() {
        assert_eq!(Yaml::text("${HOME}"), Yaml::Text("$${HOME}".to_owned()));
    }

    #[test]
    fn writes_blocks() {
        let item =
            vec![("name", Yaml::plain("app")), ("match", Yaml::Inline(vec![("path", Yaml::plain("/*"))]))];
        let file = [
            ("a", Yaml::Block(vec![("b", Yaml::Block(vec![]))])),
            ("c", Yaml::Blocks(vec![item.clone(), item])),
        ];
        let mut out = String::new();
        write(&file, 0, &mut out);
        assert_eq!(
            out,
            "a:\n  b: {}\nc:\n  - name: app\n    match: { path: /* }\n  - name: app\n    match: { path: /* }\n"
        );
    }
}
