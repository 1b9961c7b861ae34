//! An error in one line of text.

use std::error::Error;

/// The message of an error and those of all that led to it, from the outside in. A cause that stands in the text already
/// is not repeated: some errors tell theirs themselves.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Step {
        text: &'static str,
        source: Option<Box<Step>>,
    }

    fn chain(texts: &[&'static str]) -> Step {
        let source = (texts.len() > 1).then(|| Box::new(chain(&texts[1..])));
        Step { text: texts[0], source }
    }

    #[test]
    fn names_each_cause_once_and_in_its_order() {
        assert_eq!(with_causes(&chain(&["no keys"])), "no keys");
        assert_eq!(with_causes(&chain(&["no keys", "no file", "no disk"])), "no keys: no file: no disk");
        assert_eq!(
            with_causes(&chain(&["no keys: no file", "no file", "no disk"])),
            "no keys: no file: no disk"
        );
    }
}
