//! Text fields of a request by the rules of Django REST framework's `CharField`.

use super::body::{Body, Input};
use super::refused::Refused;

/// One text field, or all that is wrong with it.
pub(super) type Checked<'b> = Result<&'b str, Vec<String>>;

/// Trims the text and judges it. White space is what Python's `strip` takes for it.
pub(super) fn text<'b>(body: &'b Body, name: &str) -> Checked<'b> {
    let complaint = |text: &str| Err(vec![text.to_owned()]);
    let read = match body.field(name) {
        None => return complaint("This field is required."),
        Some(Input::Null) => return complaint("This field may not be null."),
        Some(Input::NotText) => return complaint("Not a valid string."),
        Some(Input::Text(read)) => read,
    };
    let trimmed = trim(&read.text);
    if trimmed.is_empty() {
        return complaint("This field may not be blank.");
    }
    let mut complaints = Vec::new();
    if trimmed.contains('\0') {
        complaints.push("Null characters are not allowed.".to_owned());
    }
    if let Some(surrogate) = read.surrogate {
        complaints.push(format!("Surrogate characters are not allowed: U+{surrogate:X}."));
    }
    if complaints.is_empty() { Ok(trimmed) } else { Err(complaints) }
}

/// The only field of a request.
pub(super) fn only<'b>(body: &'b Body, name: &'static str) -> Result<&'b str, Refused> {
    text(body, name).map_err(|complaints| Refused::Fields(vec![(name, complaints)]))
}

/// Both fields of a request, or the complaints about both.
pub(super) fn both<'b>(body: &'b Body, names: [&'static str; 2]) -> Result<[&'b str; 2], Refused> {
    let [first, second] = names;
    match (text(body, first), text(body, second)) {
        (Ok(one), Ok(two)) => Ok([one, two]),
        (one, two) => Err(Refused::Fields(
            [(first, one.err()), (second, two.err())]
                .into_iter()
                .filter_map(|(name, complaints)| Some((name, complaints?)))
                .collect(),
        )),
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}

/// Why nobody could log in with a user name or password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableCredential {
    /// Empty, or white space only.
    #[error("is blank")]
    Blank,
    /// White space at its ends.
    #[error("begins or ends with white space, which is cut off when somebody logs in")]
    OuterBlanks,
    /// A NUL within.
    #[error("contains a NUL character")]
    Nul,
}

/// Whether a user name or password comes through the obtain endpoint as it is. For whoever adds users.
///
/// # Errors
/// See [`UnusableCredential`].
pub fn check_credential(text: &str) -> Result<(), UnusableCredential> {
    match trim(text) {
        "" => Err(UnusableCredential::Blank),
        trimmed if trimmed != text => Err(UnusableCredential::OuterBlanks),
        _ if text.contains('\0') => Err(UnusableCredential::Nul),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, header};

    use super::*;

    fn checked(json: &str) -> Result<String, Vec<String>> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = Body::read(&headers, &Bytes::copy_from_slice(json.as_bytes())).expect("an object");
        text(&body, "a").map(str::to_owned)
    }

    fn complaint(text: &str) -> Result<String, Vec<String>> {
        Err(vec![text.to_owned()])
    }

    #[test]
    fn trims_what_python_trims() {
        assert_eq!(checked(r#"{"a":"\u00a0\t\u001f x y \u3000\u0085"}"#), Ok("x y".to_owned()));
        assert_eq!(checked(r#"{"a":" \u001c\u2003 "}"#), complaint("This field may not be blank."));
        assert_eq!(checked("{\"a\":\"\u{200b}\"}"), Ok("\u{200b}".to_owned()));
    }

    #[test]
    fn knows_what_nobody_could_log_in_with() {
        assert_eq!(check_credential("a b"), Ok(()));
        assert_eq!(check_credential(" \t"), Err(UnusableCredential::Blank));
        assert_eq!(check_credential("a\n"), Err(UnusableCredential::OuterBlanks));
        assert_eq!(check_credential("a\0b"), Err(UnusableCredential::Nul));
    }

    #[test]
    fn of_two_members_of_one_name_the_last_counts() {
        assert_eq!(checked(r#"{"a":"x","a":"y"}"#), Ok("y".to_owned()));
        assert_eq!(checked(r#"{"a":"x","a":null}"#), complaint("This field may not be null."));
    }

    #[test]
    fn refuses_nul_and_lone_surrogates_together() {
        assert_eq!(
            checked(r#"{"a":"x\u0000\ud800"}"#),
            Err(vec![
                "Null characters are not allowed.".to_owned(),
                "Surrogate characters are not allowed: U+D800.".to_owned()
            ])
        );
    }
}
