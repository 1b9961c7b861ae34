//! As much of Python as settings are written in: literals, names, calls and assignments. Nothing is executed.
//!
//! `token` (words and logical lines) → `expression` (what stands right of a `=`) → `scope` (what it is, as far as that
//! can be known: a `value`) and `module` (which names have which values at the end of the file). What is not understood becomes
//! an unknown value with a reason; only a text that can't be cut into words and lines is refused.

mod expression;
mod module;
mod scope;
mod token;
mod value;

pub(super) use module::Module;
pub(super) use value::{Known, Located};

/// The longest settings file in bytes; longer than anybody's.
pub const LARGEST_SOURCE: usize = 1 << 20;

/// The text is no Python, or more than is looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct Unreadable {
    /// Where, from 1.
    pub line: u32,
    /// What is wrong.
    pub kind: UnreadableKind,
}

/// Why a text can't be read as Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableKind {
    /// The file is too long.
    #[error("the file is larger than 1 MiB")]
    TooLarge,
    /// Brackets within brackets.
    #[error("brackets are nested more than 64 deep")]
    TooDeep,
    /// A bracket is never closed.
    #[error("a bracket is never closed")]
    OpenBracket,
    /// A closing bracket without its opening one.
    #[error("a bracket is closed that was not opened")]
    ClosedBracket,
    /// A text is never closed.
    #[error("a text has no end")]
    OpenText,
    /// A character that stands nowhere in Python.
    #[error("this is not Python")]
    NotPython,
}
