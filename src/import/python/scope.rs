//! What an expression is, by the names that are set before it.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::expression::{Argument, Expression, Form};
use super::value::{Known, LONGEST, Located, combined, unknown};

/// Values copied in one file, counted in small pieces: a few lines could otherwise double a list for ever.
const MOST_PIECES: usize = 1_000_000;

/// The names set so far, and the file they are set in.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) names: HashMap<String, Located>,
    file: PathBuf,
    pieces: Cell<usize>,
}

impl Scope {
    pub(super) fn new(file: &Path) -> Self {
        Self { names: HashMap::new(), file: file.to_owned(), pieces: Cell::new(0) }
    }

    /// What an expression is.
    pub(super) fn value(&self, expression: &Expression) -> Located {
        let line = expression.line;
        if self.pieces.get() > MOST_PIECES {
            return Located { line, value: unknown("the file makes more of its values than is followed") };
        }
        let located = Located { line, value: self.evaluate(expression) };
        self.pieces.set(self.pieces.get().saturating_add(located.pieces()));
        located
    }

    fn evaluate(&self, expression: &Expression) -> Known {
        match &expression.form {
            Form::Text(text) => Known::Text(text.clone()),
            Form::Number(number) => read_number(number),
            Form::Name(name) => self.name(name),
            Form::Attribute(of, name) => self.attribute(of, name),
            Form::Call(called, arguments) => self.call(called, arguments),
            Form::Subscript(of, index) => self.subscript(of, index),
            Form::List(items) => {
                let mut list = Vec::new();
                for item in items {
                    let value = self.value(&item.value);
                    match (item.spread, value.value) {
                        (false, known) => list.push(Located { line: value.line, value: known }),
                        (true, Known::List(more)) => list.extend(more),
                        (true, _) => return unknown("it takes in a list that is not known here"),
                    }
                }
                Known::List(list)
            }
            Form::Dict(entries) => {
                let mut dict = Vec::new();
                for (key, value) in entries {
                    let value = self.value(value);
                    match (key, value.value) {
                        (Some(key), known) => {
                            dict.push((self.value(key), Located { line: value.line, value: known }));
                        }
                        (None, Known::Dict(more)) => dict.extend(more),
                        (None, _) => {
                            let key = Located { line: value.line, value: Known::Text("**".to_owned()) };
                            let why = unknown("it takes in a dict that is not known here");
                            dict.push((key, Located { line: value.line, value: why }));
                        }
                    }
                }
                Known::Dict(dict)
            }
            Form::Chain(first, more) => self.chain(first, more),
            Form::Negative(value) => match self.value(value).value {
                Known::Int(number) => {
                    number.checked_neg().map_or_else(|| unknown("the number is too large"), Known::Int)
                }
                Known::Float(number) => Known::Float(-number),
                _ => unknown("only running the file would tell its value"),
            },
            Form::Other => unknown("only running the file would tell its value"),
        }
    }

    fn name(&self, name: &str) -> Known {
        match name {
            "True" => Known::Bool(true),
            "False" => Known::Bool(false),
            "None" => Known::None,
            "__file__" => Known::Path(self.file.clone()),
            name => match self.names.get(name) {
                Some(Located { value: Known::Unknown(why), .. }) if !why.contains(':') => {
                    unknown(format!("{name}: {why}"))
                }
                Some(located) => located.value.clone(),
                None => unknown(format!("{name} is not set in this file")),
            },
        }
    }

    fn attribute(&self, of: &Expression, name: &str) -> Known {
        match (self.value(of).value, name) {
            (Known::Path(path), "parent") => Known::Path(path.parent().unwrap_or(Path::new("/")).to_owned()),
            _ => unknown("only running the file would tell its value"),
        }
    }

    fn subscript(&self, of: &Expression, index: &Expression) -> Known {
        let index = self.value(index);
        if let ("os.environ" | "environ", Some(name)) =
            (dotted(of).as_deref().unwrap_or_default(), index.text())
        {
            return variable(name, None);
        }
        if let Form::Attribute(path, parents) = &of.form
            && parents == "parents"
            && let (Known::Path(path), Known::Int(index)) = (self.value(path).value, &index.value)
            && let Some(parent) =
                usize::try_from(*index).ok().and_then(|index| path.ancestors().nth(index.saturating_add(1)))
        {
            return Known::Path(parent.to_owned());
        }
        let of = self.value(of);
        let found = match (&of.value, &index.value) {
            (Known::Dict(_), Known::Text(key)) => of.get(key),
            (Known::List(items), Known::Int(at)) => usize::try_from(*at).ok().and_then(|at| items.get(at)),
            _ => None,
        };
        found.map_or_else(
            || unknown("only running the file would tell its value"),
            |found| found.value.clone(),
        )
    }

    fn call(&self, called: &Expression, arguments: &[Argument]) -> Known {
        let name = dotted(called).unwrap_or_default();
        let argument = |at: usize, names: &[&str]| {
            let positional = arguments.iter().filter(|argument| argument.name.is_none()).nth(at);
            let named = || {
                arguments
                    .iter()
                    .find(|argument| argument.name.as_deref().is_some_and(|name| names.contains(&name)))
            };
            positional.or_else(named).map(|argument| self.value(&argument.value))
        };
        let first = argument(0, &[]);
        match (name.as_str(), first) {
            ("timedelta" | "datetime.timedelta" | "dt.timedelta", _) => self.timedelta(arguments),
            (
                "os.environ.get" | "environ.get" | "os.getenv" | "getenv" | "config" | "decouple.config",
                Some(variable_name),
            ) => with_default(&variable_name, argument(1, &["default"])),
            ("env" | "env.str" | "env.int" | "env.bool" | "env.float", Some(variable_name)) => {
                with_default(&variable_name, argument(2, &["default"]))
            }
            ("env.db" | "env.db_url", first) => Known::DatabaseUrl(
                first.as_ref().and_then(Located::text).unwrap_or("DATABASE_URL").to_owned(),
            ),
            ("dj_database_url.config", _) => {
                let named = argument(9, &["env"]);
                Known::DatabaseUrl(
                    named.as_ref().and_then(Located::text).unwrap_or("DATABASE_URL").to_owned(),
                )
            }
            ("dj_database_url.parse", Some(Located { value: Known::Variable { name, .. }, .. })) => {
                Known::DatabaseUrl(name)
            }
            ("dict", _)
                if arguments
                    .iter()
                    .all(|argument| argument.name.as_deref().is_some_and(|name| name != "*")) =>
            {
                let entries = arguments.iter().map(|argument| {
                    let value = self.value(&argument.value);
                    let name = argument.name.clone().unwrap_or_default();
                    (Located { line: value.line, value: Known::Text(name) }, value)
                });
                Known::Dict(entries.collect())
            }
            ("list" | "tuple" | "set", Some(Located { value: value @ Known::List(_), .. })) => value,
            ("str" | "Path" | "pathlib.Path" | "os.path.abspath" | "os.path.realpath", Some(of)) => {
                match of.value {
                    Known::Text(text) if name != "str" => Known::Path(self.beside(&text)),
                    Known::Int(number) => Known::Text(number.to_string()),
                    other => other,
                }
            }
            ("int" | "float" | "bool", Some(of)) => match of.value {
                Known::Text(text) => read_number(&text),
                other => other,
            },
            ("os.path.dirname", Some(Located { value: Known::Path(path), .. })) => {
                Known::Path(path.parent().unwrap_or(Path::new("/")).to_owned())
            }
            ("os.path.join", Some(Located { value: Known::Path(path), .. })) => {
                self.joined(path, &arguments[1..])
            }
            _ => self.method(called, arguments),
        }
    }

    /// `x.method(…)` of a value.
    fn method(&self, called: &Expression, arguments: &[Argument]) -> Known {
        let Form::Attribute(of, method) = &called.form else {
            return unknown("only running the file would tell its value");
        };
        if method == "read"
            && let Form::Call(open, opened) = &of.form
            && matches!(dotted(open).as_deref(), Some("open" | "io.open"))
            && let Some(path) = opened.first()
        {
            return match self.value(&path.value).value {
                Known::Path(path) => Known::Content(path),
                // Python sees it from where the site was started, which is where its manage.py is; nobody knows that.
                Known::Text(text) => Known::Content(self.beside(&text)),
                _ => unknown("only running the file would tell which file that is"),
            };
        }
        match (self.value(of).value, method.as_str()) {
            (Known::Path(path), "resolve" | "absolute" | "as_posix" | "expanduser") => Known::Path(path),
            (Known::Path(path), "joinpath") => self.joined(path, arguments),
            (Known::Path(path), "read_text" | "read_bytes") => Known::Content(path),
            (content @ Known::Content(_), "strip" | "rstrip" | "decode" | "encode") => content,
            (Known::Text(text), "strip") => Known::Text(text.trim().to_owned()),
            (variable @ (Known::Variable { .. } | Known::Text(_)), "encode") => variable,
            _ => unknown("only running the file would tell its value"),
        }
    }

    fn joined(&self, mut path: PathBuf, parts: &[Argument]) -> Known {
        for part in parts {
            match self.value(&part.value).value {
                Known::Text(text) => path.push(text),
                _ => return unknown("only running the file would tell which path that is"),
            }
        }
        Known::Path(path)
    }

    fn beside(&self, text: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(text)
    }

    fn timedelta(&self, arguments: &[Argument]) -> Known {
        const PARTS: [(&str, f64); 7] = [
            ("days", 86_400.0),
            ("seconds", 1.0),
            ("microseconds", 0.000_001),
            ("milliseconds", 0.001),
            ("minutes", 60.0),
            ("hours", 3_600.0),
            ("weeks", 604_800.0),
        ];
        let mut seconds = 0.0;
        for (at, argument) in arguments.iter().enumerate() {
            let part = match &argument.name {
                None => PARTS.get(at),
                Some(name) => PARTS.iter().find(|(part, _)| part == name),
            };
            let Some((_, unit)) = part else { return unknown("no such part of a timedelta is known") };
            let number = match self.value(&argument.value).value {
                Known::Int(number) => i32::try_from(number).map_or(f64::INFINITY, f64::from),
                Known::Float(number) => number,
                Known::Variable { name, .. } => {
                    return unknown(format!("it is counted from the variable {name}: write it with a unit"));
                }
                Known::Unknown(why) => return unknown(why),
                _ => return unknown("a part of the timedelta is no number"),
            };
            seconds += number * unit;
        }
        if (0.0..=LONGEST).contains(&seconds) {
            Known::Duration(Duration::from_secs_f64(seconds))
        } else {
            unknown("no such timedelta can be a lifetime")
        }
    }

    /// Sums with products in them, from left to right.
    fn chain(&self, first: &Expression, more: &[(&'static str, Expression)]) -> Known {
        let mut values = vec![self.value(first).value];
        let mut operators: Vec<&str> = Vec::new();
        for (operator, operand) in more {
            let operand = self.value(operand).value;
            match (*operator, values.last_mut()) {
                ("*" | "/", Some(last)) => {
                    let left = std::mem::replace(last, Known::None);
                    *last = combined(left, operator, operand);
                }
                _ => {
                    operators.push(operator);
                    values.push(operand);
                }
            }
        }
        let mut values = values.into_iter();
        let first = values.next().unwrap_or(Known::None);
        operators
            .into_iter()
            .zip(values)
            .fold(first, |left, (operator, right)| combined(left, operator, right))
    }
}

/// `a.b.c`, if it is nothing else.
pub(super) fn dotted(expression: &Expression) -> Option<String> {
    match &expression.form {
        Form::Name(name) => Some(name.clone()),
        Form::Attribute(of, name) => Some(format!("{}.{name}", dotted(of)?)),
        _ => None,
    }
}

fn with_default(name: &Located, default: Option<Located>) -> Known {
    match name.text() {
        Some(name) => {
            variable(name, default.map(|default| default.value).filter(|default| *default != Known::None))
        }
        None => unknown("only running the file would tell which variable that is"),
    }
}

fn variable(name: &str, default: Option<Known>) -> Known {
    let sound = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !sound {
        return unknown("its variable has a name that no shell takes");
    }
    Known::Variable { name: name.to_owned(), default: default.map(Box::new) }
}

fn read_number(text: &str) -> Known {
    if let Ok(number) = text.parse::<i64>() {
        return Known::Int(number);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Known::Float(number),
        _ => unknown("it is no decimal number"),
    }
}
