//! The names of a settings file and what they are at its end: assignments are followed from top to bottom.

use std::path::Path;

use super::Unreadable;
use super::expression::{Expression, Form, Parser};
use super::scope::{Scope, dotted};
use super::token::{Line, Token, lines};
use super::value::{Known, Located, combined};

/// A settings file, read.
#[derive(Debug)]
pub(in crate::import) struct Module {
    scope: Scope,
    /// What may have changed a value and was not followed.
    pub(in crate::import) asides: Vec<Aside>,
}

/// A line that was not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::import) struct Aside {
    pub(in crate::import) line: u32,
    /// The name that it may set; `None`: any.
    pub(in crate::import) name: Option<String>,
    /// Why it was not followed.
    pub(in crate::import) why: &'static str,
}

const CONDITIONAL: &str = "it depends on a condition, which only running the file would tell";
/// Methods that change a list or dict.
const CHANGING: [&str; 8] = ["update", "append", "extend", "setdefault", "pop", "insert", "remove", "clear"];
const NOT_FOLLOWED: &str = "only running the file would tell what this line does";

impl Module {
    /// Reads a file's text. `file` is where it is, for paths that are made from `__file__`.
    ///
    /// # Errors
    /// [`Unreadable`] for a text that is no Python.
    pub(in crate::import) fn read(source: &str, file: &Path) -> Result<Self, Unreadable> {
        let mut module = Self { scope: Scope::new(file), asides: Vec::new() };
        // The indentation of a function's or class's own line while its body is passed over.
        let mut own_names: Option<usize> = None;
        for line in lines(source)? {
            if own_names.is_some_and(|indent| line.indent > indent) {
                continue;
            }
            own_names = None;
            match line.tokens.first() {
                Some((Token::Name(word), _)) if matches!(word.as_str(), "def" | "class" | "async") => {
                    own_names = Some(line.indent);
                }
                Some((Token::Name(word), _)) if is_compound(word) => module.conditional(&line),
                _ if line.indent > 0 => module.conditional(&line),
                _ => module.statement(&line),
            }
        }
        Ok(module)
    }

    /// The value of a name at the end of the file.
    pub(in crate::import) fn get(&self, name: &str) -> Option<&Located> {
        self.scope.names.get(name)
    }

    fn aside(&mut self, line: u32, name: Option<&str>, why: &'static str) {
        self.asides.push(Aside { line, name: name.map(str::to_owned), why });
    }

    /// A line that runs only sometimes: what it would set is noted, and not set.
    fn conditional(&mut self, line: &Line) {
        let number = line.tokens.first().map_or(1, |(_, number)| *number);
        let sets = line.tokens.iter().any(|(token, _)| matches!(token, Token::Symbol("=" | "|=" | "+=")));
        let set = line.tokens.windows(2).filter_map(|pair| match pair {
            [(Token::Name(name), _), (Token::Symbol("=" | "[" | ":" | "|=" | "+="), _)] if sets => Some(name),
            _ => None,
        });
        let changed = line.tokens.windows(4).filter_map(|four| match four {
            [
                (Token::Name(of), _),
                (Token::Symbol("."), _),
                (Token::Name(method), _),
                (Token::Symbol("("), _),
            ] => CHANGING.contains(&method.as_str()).then_some(of),
            _ => None,
        });
        for name in set.chain(changed) {
            self.aside(number, Some(name), CONDITIONAL);
        }
        if is_star_import(line) {
            self.aside(number, None, "it takes in another file, which was not read");
        }
    }

    fn statement(&mut self, line: &Line) {
        let number = line.tokens.first().map_or(1, |(_, number)| *number);
        match line.tokens.first() {
            Some((Token::Name(word), _)) if word == "from" || word == "import" => {
                if is_star_import(line) {
                    self.aside(number, None, "it takes in another file, which was not read");
                }
                return;
            }
            Some((Token::Text(_) | Token::OddText, _)) | None => return,
            _ => {}
        }
        let depth = |tokens: &[(Token, u32)]| {
            tokens.iter().fold(0_i32, |depth, (token, _)| match token {
                Token::Symbol("(" | "[" | "{") => depth + 1,
                Token::Symbol(")" | "]" | "}") => depth - 1,
                _ => depth,
            })
        };
        let mut assignments = line.tokens.iter().enumerate().filter(|(at, (token, _))| {
            matches!(token, Token::Symbol("=" | "+=" | "|=")) && depth(&line.tokens[..*at]) == 0
        });
        let Some((at, (Token::Symbol(operator), _))) = assignments.next() else {
            return self.call(line, number);
        };
        if assignments.next().is_some() {
            // `a = b = c`
            return self.not_followed(line, number);
        }
        // An annotation stands between the name and the `=`.
        let target = &line.tokens[..at];
        let colon = target.iter().position(|(token, _)| *token == Token::Symbol(":"));
        let target = match (colon, target) {
            (Some(_), [(Token::Name(_), _), (Token::Symbol(":"), _), ..]) => &target[..1],
            _ => target,
        };
        let target = Parser::new(target).whole();
        let value = self.scope.value(&Parser::new(&line.tokens[at + 1..]).whole());
        match &target.form {
            Form::Name(name) => {
                let value = match (*operator, self.scope.names.get(name)) {
                    ("=", _) => value,
                    (operator, Some(old)) => {
                        let joined = combined(old.value.clone(), operator.trim_end_matches('='), value.value);
                        Located { line: old.line, value: joined }
                    }
                    (_, None) => Located { line: number, value: Known::Unknown(NOT_FOLLOWED.to_owned()) },
                };
                self.scope.names.insert(name.clone(), value);
            }
            Form::Subscript(of, key) if *operator == "=" => self.set_key(of, key, value, number),
            _ => self.not_followed(line, number),
        }
    }

    /// `NAME["key"] = value`
    fn set_key(&mut self, of: &Expression, key: &Expression, value: Located, number: u32) {
        let key = self.scope.value(key);
        let (Form::Name(name), Some(_)) = (&of.form, key.text()) else {
            let name = root(of);
            return self.aside(number, name.as_deref(), NOT_FOLLOWED);
        };
        if let Some(Located { value: Known::Dict(entries), .. }) = self.scope.names.get_mut(name) {
            entries.push((key, value));
        } else {
            let name = name.clone();
            self.aside(number, Some(&name), NOT_FOLLOWED);
        }
    }

    /// `NAME.update({…})`, `NAME.append(x)`, `NAME.extend([…])`.
    fn call(&mut self, line: &Line, number: u32) {
        let expression = Parser::new(&line.tokens).whole();
        if let Form::Call(called, arguments) = &expression.form
            && let Form::Attribute(of, method) = &called.form
            && let Form::Name(name) = &of.form
            && let [argument] = arguments.as_slice()
            && argument.name.is_none()
            && self.scope.names.contains_key(name)
        {
            let added = self.scope.value(&argument.value);
            let old = self.scope.names.get_mut(name).map(|located| &mut located.value);
            match (old, method.as_str(), added.value) {
                (Some(Known::Dict(entries)), "update", Known::Dict(more)) => return entries.extend(more),
                (Some(Known::List(items)), "extend", Known::List(more)) => return items.extend(more),
                (Some(Known::List(items)), "append", value) => {
                    return items.push(Located { line: added.line, value });
                }
                _ => {}
            }
        }
        self.not_followed(line, number);
    }

    fn not_followed(&mut self, line: &Line, number: u32) {
        let names: Vec<&str> = line
            .tokens
            .iter()
            .filter_map(|(token, _)| match token {
                Token::Name(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        if names.iter().any(|name| ["globals", "locals", "vars", "exec", "eval", "include"].contains(name)) {
            self.aside(number, None, "it may set anything");
        }
        for name in names {
            self.aside(number, Some(name), NOT_FOLLOWED);
        }
    }
}

fn is_compound(word: &str) -> bool {
    ["if", "elif", "else", "for", "while", "try", "except", "finally", "with", "match", "del"].contains(&word)
}

fn is_star_import(line: &Line) -> bool {
    let is_import = line.tokens.iter().any(|(token, _)| *token == Token::Name("import".to_owned()));
    is_import && matches!(line.tokens.last(), Some((Token::Symbol("*"), _)))
}

/// The first name of `a.b["c"]`.
fn root(expression: &Expression) -> Option<String> {
    match &expression.form {
        Form::Subscript(of, _) | Form::Attribute(of, _) => root(of),
        _ => dotted(expression),
    }
}
