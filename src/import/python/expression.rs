//! What may stand right of a `=`: literals, names, attributes, calls, subscripts, sums. All else is `Other`.

use super::token::Token;

/// An expression and where it begins.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    pub(super) line: u32,
    pub(super) form: Form,
}

/// Its form.
#[derive(Debug, Clone)]
pub(super) enum Form {
    Text(String),
    Number(String),
    Name(String),
    /// `x.name`
    Attribute(Box<Expression>, String),
    /// `x(a, name=b)`
    Call(Box<Expression>, Vec<Argument>),
    /// `x[a]`
    Subscript(Box<Expression>, Box<Expression>),
    /// A list, a tuple or a set.
    List(Vec<Item>),
    /// A dict; an entry without a key is `**x`.
    Dict(Vec<(Option<Expression>, Expression)>),
    /// `a + b`, in a row.
    Chain(Box<Expression>, Vec<(&'static str, Expression)>),
    /// `-x`
    Negative(Box<Expression>),
    /// Anything else: a condition, a comparison, a lambda, a comprehension.
    Other,
}

/// One of a list.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// `*x`
    pub(super) spread: bool,
    pub(super) value: Expression,
}

/// One of a call.
#[derive(Debug, Clone)]
pub(super) struct Argument {
    /// `name=`; `**` for `**x`, `*` for `*x`.
    pub(super) name: Option<String>,
    pub(super) value: Expression,
}

const OPERATORS: [&str; 5] = ["+", "-", "*", "/", "|"];

/// Reads words from their beginning. Brackets are known to be balanced, and never deeper than a file may nest them.
pub(super) struct Parser<'t> {
    tokens: &'t [(Token, u32)],
    last_line: u32,
}

impl<'t> Parser<'t> {
    pub(super) fn new(tokens: &'t [(Token, u32)]) -> Self {
        Self { tokens, last_line: tokens.last().map_or(1, |(_, line)| *line) }
    }

    fn line(&self) -> u32 {
        self.tokens.first().map_or(self.last_line, |(_, line)| *line)
    }

    fn peek(&self) -> Option<&'t Token> {
        self.tokens.first().map(|(token, _)| token)
    }

    fn next(&mut self) -> Option<&'t Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(&first.0)
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek(), Some(Token::Symbol(found)) if *found == symbol)
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        if found {
            self.next();
        }
        found
    }

    /// All the words as one expression; `a, b` is a tuple.
    pub(super) fn whole(mut self) -> Expression {
        let line = self.line();
        let mut items = vec![self.item(&[","])];
        if self.tokens.is_empty() && !items[0].spread {
            return items.remove(0).value;
        }
        while self.take(",") && !self.tokens.is_empty() {
            items.push(self.item(&[","]));
        }
        let form = if self.tokens.is_empty() { Form::List(items) } else { Form::Other };
        Expression { line, form }
    }

    fn item(&mut self, ends: &[&str]) -> Item {
        let spread = self.take("*");
        Item { spread, value: self.until(ends) }
    }

    /// One expression that ends before one of these symbols, or at the end of the words.
    fn until(&mut self, ends: &[&str]) -> Expression {
        let line = self.line();
        let start = self.tokens;
        let read = self.chain();
        let ended = |parser: &Self| parser.tokens.is_empty() || ends.iter().any(|end| parser.is(end));
        if let Some(expression) = read
            && ended(self)
        {
            return expression;
        }
        self.tokens = start;
        self.skip_to(ends);
        Expression { line, form: Form::Other }
    }

    /// Passes over what is not understood.
    fn skip_to(&mut self, ends: &[&str]) {
        let mut depth = 0_usize;
        let mut parameters = false;
        while let Some(token) = self.peek() {
            match token {
                Token::Symbol(":") if depth == 0 && parameters => parameters = false,
                Token::Symbol(symbol) if depth == 0 && !parameters && ends.contains(symbol) => return,
                Token::Symbol("(" | "[" | "{") => depth += 1,
                Token::Symbol(")" | "]" | "}") if depth == 0 => return,
                Token::Symbol(")" | "]" | "}") => depth -= 1,
                // Its parameters stand before a `:` and have commas.
                Token::Name(name) if name == "lambda" && depth == 0 => parameters = true,
                Token::Name(_) | Token::Symbol(_) | Token::Text(_) | Token::OddText | Token::Number(_) => {}
            }
            self.next();
        }
    }

    fn chain(&mut self) -> Option<Expression> {
        let line = self.line();
        let first = self.unary()?;
        let mut more = Vec::new();
        while let Some(Token::Symbol(symbol)) = self.peek()
            && OPERATORS.contains(symbol)
        {
            self.next();
            more.push((*symbol, self.unary()?));
        }
        if more.is_empty() {
            return Some(first);
        }
        Some(Expression { line, form: Form::Chain(Box::new(first), more) })
    }

    fn unary(&mut self) -> Option<Expression> {
        let line = self.line();
        if self.take("-") {
            // One sign is enough for settings; more would nest without a bracket.
            let value = self.postfix()?;
            return Some(Expression { line, form: Form::Negative(Box::new(value)) });
        }
        self.postfix()
    }

    fn postfix(&mut self) -> Option<Expression> {
        let line = self.line();
        let mut expression = self.atom()?;
        // Each link nests the expression one deeper, without a bracket around it.
        for _ in 0..32 {
            let form = if self.take(".") {
                let Some(Token::Name(name)) = self.next() else { return None };
                Form::Attribute(Box::new(expression), name.clone())
            } else if self.take("(") {
                Form::Call(Box::new(expression), self.arguments()?)
            } else if self.take("[") {
                let index = self.until(&["]"]);
                self.take("]").then_some(())?;
                Form::Subscript(Box::new(expression), Box::new(index))
            } else {
                return Some(expression);
            };
            expression = Expression { line, form };
        }
        None
    }

    fn arguments(&mut self) -> Option<Vec<Argument>> {
        let mut arguments = Vec::new();
        while !self.take(")") {
            let (name, words) = match self.tokens {
                [(Token::Name(name), _), (Token::Symbol("="), _), ..] => (Some(name.clone()), 2),
                [(Token::Symbol(star @ ("*" | "**")), _), ..] => (Some((*star).to_owned()), 1),
                _ => (None, 0),
            };
            self.tokens = &self.tokens[words..];
            arguments.push(Argument { name, value: self.until(&[",", ")"]) });
            if !self.take(",") && !self.is(")") {
                return None;
            }
        }
        Some(arguments)
    }

    fn atom(&mut self) -> Option<Expression> {
        let line = self.line();
        let form = match self.next()? {
            Token::Name(name) if is_operator_word(name) => return None,
            Token::Name(name) => Form::Name(name.clone()),
            Token::Number(number) => Form::Number(number.clone()),
            Token::Text(text) => {
                let mut text = text.clone();
                while let Some(Token::Text(more)) = self.peek() {
                    text.push_str(more);
                    self.next();
                }
                Form::Text(text)
            }
            Token::Symbol("(") => {
                let (items, commas) = self.items(")")?;
                match items.as_slice() {
                    [Item { spread: false, .. }] if !commas => {
                        return items.into_iter().next().map(|item| item.value);
                    }
                    _ => Form::List(items),
                }
            }
            Token::Symbol("[") => Form::List(self.items("]")?.0),
            Token::Symbol("{") => self.braces()?,
            Token::Symbol(_) | Token::OddText => return None,
        };
        Some(Expression { line, form })
    }

    /// What stands in brackets, and whether there is a comma.
    fn items(&mut self, close: &'static str) -> Option<(Vec<Item>, bool)> {
        let mut items = Vec::new();
        let mut commas = false;
        while !self.take(close) {
            items.push(self.item(&[",", close]));
            if self.take(",") {
                commas = true;
            } else if !self.is(close) {
                return None;
            }
        }
        Some((items, commas))
    }

    fn braces(&mut self) -> Option<Form> {
        let mut entries = Vec::new();
        let mut set = Vec::new();
        while !self.take("}") {
            if self.take("**") {
                entries.push((None, self.until(&[",", "}"])));
            } else {
                let first = self.until(&[":", ",", "}"]);
                if self.take(":") {
                    entries.push((Some(first), self.until(&[",", "}"])));
                } else {
                    set.push(Item { spread: false, value: first });
                }
            }
            if !self.take(",") && !self.is("}") {
                return None;
            }
        }
        match (entries.is_empty(), set.is_empty()) {
            (_, true) => Some(Form::Dict(entries)),
            (true, false) => Some(Form::List(set)),
            (false, false) => None,
        }
    }
}

fn is_operator_word(name: &str) -> bool {
    ["not", "lambda", "await", "yield", "if", "else", "for", "in", "is", "and", "or"].contains(&name)
}
