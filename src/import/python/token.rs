//! Python's text as words and symbols, in logical lines (the language reference, "Lexical analysis").

use super::{LARGEST_SOURCE, Unreadable, UnreadableKind};

/// Brackets within brackets; nobody writes settings deeper.
const DEEPEST: usize = 64;

/// One word or symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A name or keyword.
    Name(String),
    /// A text, its escapes resolved.
    Text(String),
    /// A text that only Python can make: with `{…}` in it, of bytes, or with an escape by a character's name.
    OddText,
    /// A number as written, without `_`.
    Number(String),
    /// Anything else, such as `(` or `**`.
    Symbol(&'static str),
}

/// A statement, or the head of one that has a body.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Columns before its first word.
    pub(super) indent: usize,
    /// What it is made of, each with its line in the file, from 1.
    pub(super) tokens: Vec<(Token, u32)>,
}

/// Longer ones first, so that `**=` is not read as `*`.
const SYMBOLS: [&str; 46] = [
    "**=", "//=", ">>=", "<<=", "...", "**", "//", ">>", "<<", "<=", ">=", "==", "!=", "->", "+=", "-=",
    "*=", "/=", "%=", "&=", "|=", "^=", "@=", ":=", "+", "-", "*", "/", "%", "&", "|", "^", "~", "<", ">",
    "(", ")", "[", "]", "{", "}", ",", ":", ".", "=", "@",
];

/// Reads a whole file.
pub(super) fn lines(source: &str) -> Result<Vec<Line>, Unreadable> {
    if source.len() > LARGEST_SOURCE {
        return Err(Unreadable { line: 1, kind: UnreadableKind::TooLarge });
    }
    let mut reader = Reader {
        rest: source.strip_prefix('\u{feff}').unwrap_or(source),
        line: 1,
        open: Vec::new(),
        lines: Vec::new(),
        current: Line { indent: 0, tokens: Vec::new() },
    };
    reader.read()?;
    Ok(reader.lines)
}

struct Reader<'s> {
    rest: &'s str,
    line: u32,
    /// The closing brackets that are still to come, and where they were opened.
    open: Vec<(&'static str, u32)>,
    lines: Vec<Line>,
    current: Line,
}

impl<'s> Reader<'s> {
    fn read(&mut self) -> Result<(), Unreadable> {
        let mut at_start = true;
        while let Some(first) = self.rest.chars().next() {
            if at_start && self.open.is_empty() {
                self.current.indent = self.indentation();
                at_start = false;
                continue;
            }
            match first {
                '\n' => {
                    self.skip(1);
                    self.line += 1;
                    if self.open.is_empty() {
                        self.end_line();
                        at_start = true;
                    }
                }
                ' ' | '\t' | '\r' | '\x0c' => self.skip(1),
                '#' => self.skip(self.rest.find('\n').unwrap_or(self.rest.len())),
                '\\' if self.rest[1..].starts_with('\n') || self.rest[1..].starts_with("\r\n") => {
                    self.skip(if self.rest[1..].starts_with('\n') { 2 } else { 3 });
                    self.line += 1;
                }
                ';' if self.open.is_empty() => {
                    self.skip(1);
                    let indent = self.current.indent;
                    self.end_line();
                    self.current.indent = indent;
                }
                _ => self.token(first)?,
            }
        }
        if let Some((_, line)) = self.open.first() {
            return Err(Unreadable { line: *line, kind: UnreadableKind::OpenBracket });
        }
        self.end_line();
        Ok(())
    }

    fn indentation(&mut self) -> usize {
        let width = self.rest.len() - self.rest.trim_start_matches([' ', '\t']).len();
        self.skip(width);
        width
    }

    fn end_line(&mut self) {
        let line = std::mem::replace(&mut self.current, Line { indent: 0, tokens: Vec::new() });
        if !line.tokens.is_empty() {
            self.lines.push(line);
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn push(&mut self, token: Token, line: u32) {
        self.current.tokens.push((token, line));
    }

    fn unreadable<T>(&self, kind: UnreadableKind) -> Result<T, Unreadable> {
        Err(Unreadable { line: self.line, kind })
    }

    fn token(&mut self, first: char) -> Result<(), Unreadable> {
        if first == '"' || first == '\'' {
            return self.text("");
        }
        if first.is_alphabetic() || first == '_' {
            let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
            let (word, after) = self.rest.split_at(end);
            if after.starts_with(['"', '\'']) && is_text_prefix(word) {
                self.skip(end);
                return self.text(word);
            }
            self.skip(end);
            self.push(Token::Name(word.to_owned()), self.line);
            return Ok(());
        }
        let starts_number = first.is_ascii_digit()
            || first == '.' && self.rest[1..].starts_with(|next: char| next.is_ascii_digit());
        if starts_number {
            let mut previous = ' ';
            let end = self.rest.find(|c: char| {
                let sign_of_exponent = matches!(c, '+' | '-') && matches!(previous, 'e' | 'E');
                previous = c;
                !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || sign_of_exponent)
            });
            let (number, _) = self.rest.split_at(end.unwrap_or(self.rest.len()));
            self.push(Token::Number(number.replace('_', "")), self.line);
            self.skip(number.len());
            return Ok(());
        }
        let Some(symbol) = SYMBOLS.into_iter().find(|symbol| self.rest.starts_with(symbol)) else {
            return self.unreadable(UnreadableKind::NotPython);
        };
        match symbol {
            "(" => self.opened(")")?,
            "[" => self.opened("]")?,
            "{" => self.opened("}")?,
            ")" | "]" | "}" if self.open.pop().is_none_or(|(expected, _)| expected != symbol) => {
                return self.unreadable(UnreadableKind::ClosedBracket);
            }
            _ => {}
        }
        self.skip(symbol.len());
        self.push(Token::Symbol(symbol), self.line);
        Ok(())
    }

    fn opened(&mut self, closing: &'static str) -> Result<(), Unreadable> {
        if self.open.len() == DEEPEST {
            return self.unreadable(UnreadableKind::TooDeep);
        }
        self.open.push((closing, self.line));
        Ok(())
    }

    /// A text whose prefix was read.
    fn text(&mut self, prefix: &str) -> Result<(), Unreadable> {
        let has = |letter: char| prefix.chars().any(|c| c.eq_ignore_ascii_case(&letter));
        let (raw, formatted, bytes) = (has('r'), has('f') || has('t'), has('b'));
        let quote = if self.rest.starts_with('"') { '"' } else { '\'' };
        let triple = if quote == '"' { "\"\"\"" } else { "'''" };
        let end = if self.rest.starts_with(triple) { triple } else { &triple[..1] };
        let started = self.line;
        self.skip(end.len());
        let mut text = Text { content: String::new(), odd: bytes };
        loop {
            if self.rest.starts_with(end) {
                self.skip(end.len());
                break;
            }
            let Some(next) = self.rest.chars().next() else {
                return Err(Unreadable { line: started, kind: UnreadableKind::OpenText });
            };
            match next {
                '\n' if end.len() == 1 => {
                    return Err(Unreadable { line: started, kind: UnreadableKind::OpenText });
                }
                '\\' => self.escape(raw, &mut text),
                '{' | '}' if formatted => {
                    text.odd = true;
                    self.skip(1);
                }
                _ => {
                    self.line += u32::from(next == '\n');
                    self.skip(next.len_utf8());
                    text.content.push(next);
                }
            }
        }
        self.push(if text.odd { Token::OddText } else { Token::Text(text.content) }, started);
        Ok(())
    }

    /// A backslash within a text, and what it stands for.
    fn escape(&mut self, raw: bool, text: &mut Text) {
        let mut after = self.rest[1..].chars();
        let Some(next) = after.next() else {
            self.skip(1);
            return;
        };
        self.skip(1 + next.len_utf8());
        self.line += u32::from(next == '\n');
        if raw {
            text.content.extend(['\\', next]);
            return;
        }
        let simple = match next {
            '\n' => return,
            '\\' | '\'' | '"' => next,
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' => return self.code(2, 16, "", text),
            'u' => return self.code(4, 16, "", text),
            'U' => return self.code(8, 16, "", text),
            '0'..='7' => {
                let more = self.rest.chars().take(2).take_while(|c| matches!(c, '0'..='7')).count();
                return self.code(more, 8, next.encode_utf8(&mut [0; 4]), text);
            }
            'N' => {
                text.odd = true;
                return;
            }
            other => {
                text.content.extend(['\\', other]);
                return;
            }
        };
        text.content.push(simple);
    }

    /// A character by its number, of which the first digits were read.
    fn code(&mut self, digits: usize, radix: u32, first: &str, text: &mut Text) {
        let number = self.rest.get(..digits).filter(|digits| digits.chars().all(|c| c.is_digit(radix)));
        let number = number.and_then(|number| u32::from_str_radix(&format!("{first}{number}"), radix).ok());
        match number.and_then(char::from_u32) {
            Some(character) => {
                self.skip(digits);
                text.content.push(character);
            }
            None => text.odd = true,
        }
    }
}

struct Text {
    content: String,
    odd: bool,
}

fn is_text_prefix(word: &str) -> bool {
    ["r", "u", "b", "f", "t", "br", "rb", "fr", "rf", "tr", "rt"]
        .iter()
        .any(|prefix| word.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<Token> {
        let lines = lines(source).expect("readable");
        lines.into_iter().flat_map(|line| line.tokens).map(|(token, _)| token).collect()
    }

    fn text(source: &str) -> String {
        match words(source).as_slice() {
            [Token::Text(text)] => text.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_texts_as_python_does() {
        for (source, expected) in [
            (r#""a'b""#, "a'b"),
            (r"'a\'b\\'", r"a'b\"),
            (r#""\x41\u00e9\U0001f600\101\n""#, "Aé😀A\n"),
            (r#"r"\d\"""#, r#"\d\""#),
            ("'''a\n\"b\"'''", "a\n\"b\""),
            ("\"\"\"\\\na\"\"\"", "a"),
            (r#""\q""#, r"\q"),
            (r#"u"x""#, "x"),
            (r#"f"x""#, "x"),
        ] {
            assert_eq!(text(source), expected, "{source}");
        }
        for source in [r#"f"{x}""#, r#"b"x""#, r#""\N{DASH}""#, r#""\ud800""#, r#""\x4""#] {
            assert_eq!(words(source), [Token::OddText], "{source}");
        }
    }

    #[test]
    fn a_statement_may_go_over_several_lines() {
        let lines = lines("a = [1, # one\n\n  2]\nif x: \\\n  y\n  z = 1; w = 2\n").expect("readable");
        let seen: Vec<(usize, u32, usize)> =
            lines.iter().map(|line| (line.indent, line.tokens[0].1, line.tokens.len())).collect();
        assert_eq!(seen, [(0, 1, 7), (0, 4, 4), (2, 6, 3), (2, 6, 3)]);
    }

    #[test]
    fn names_the_line_where_it_could_not_go_on() {
        for (source, line, kind) in [
            ("a = 1\nb = (1,\n2", 2, UnreadableKind::OpenBracket),
            ("a = (1]", 1, UnreadableKind::ClosedBracket),
            ("\n\n)", 3, UnreadableKind::ClosedBracket),
            ("a = 'x\n'", 1, UnreadableKind::OpenText),
            ("a = '''x\n", 1, UnreadableKind::OpenText),
            ("a = $x", 1, UnreadableKind::NotPython),
            ("a = 1\0", 1, UnreadableKind::NotPython),
        ] {
            assert_eq!(lines(source).expect_err(source), Unreadable { line, kind }, "{source}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(lines(&deep).expect_err("deep").kind, UnreadableKind::TooDeep);
        let large = "a = 1\n".repeat(2 << 20);
        assert_eq!(lines(&large).expect_err("large").kind, UnreadableKind::TooLarge);
    }
}
