//! The list of what was not carried over.

use super::Remark;
use super::python::{Known, Located};

/// Collects remarks.
#[derive(Debug, Default)]
pub(super) struct Remarks(Vec<Remark>);

impl Remarks {
    pub(super) fn add(&mut self, line: u32, setting: impl Into<String>, reason: impl Into<String>) {
        // A text of the settings may get into a reason: it must not write lines of its own.
        let clean = |text: String| text.replace(char::is_control, " ");
        self.0.push(Remark { line, setting: clean(setting.into()), reason: clean(reason.into()) });
    }

    /// Says why a value is not what was expected.
    pub(super) fn not_read(&mut self, located: &Located, setting: &str, expected: &str) {
        let reason = match &located.value {
            Known::Unknown(why) => why.clone(),
            Known::Variable { name, .. } => {
                format!("the variable {name} is not taken here; {expected} is needed")
            }
            _ => format!("{expected} was expected"),
        };
        self.add(located.line, setting, format!("not carried over: {reason}"));
    }

    /// By line, each once.
    pub(super) fn sorted(mut self) -> Vec<Remark> {
        self.0.sort();
        self.0.dedup();
        self.0
    }
}
