//! What is sent to the endpoint and what it answers (RFC 7662, section 2).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use zeroize::Zeroizing;

use super::Standing;
use crate::http::client::FetchError;
use crate::jwt::{Claims, Limits, ParseError, parse_object};

/// What stays as it is in a form (WHATWG URL, `application/x-www-form-urlencoded` percent-encode set).
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

/// An answer of RFC 7662, section 2.2. A member that is `null` is absent.
pub(super) fn read(answer: &[u8]) -> Result<Standing, CallFailure> {
    let mut members = parse_object(answer, &Limits::default())?;
    let active =
        members.remove("active").and_then(|active| active.as_bool()).ok_or(CallFailure::NoStanding)?;
    if !active {
        return Ok(Standing::Inactive);
    }
    members.retain(|_, value| !value.is_null());
    Ok(Standing::Active(Arc::new(Claims::from_members(members)?)))
}

pub(super) fn form(token: &[u8]) -> Bytes {
    format!("token={}&token_type_hint=access_token", form_encoded(token)).into()
}

fn form_encoded(text: &[u8]) -> String {
    // A percent sign of the text itself is `%25`: only a space becomes `%20`.
    percent_encode(text, FORM).to_string().replace("%20", "+")
}

/// RFC 6749, section 2.3.1: name and secret are encoded as in a form before RFC 7617 puts a colon between.
pub(super) fn basic(client_id: &str, secret: &[u8]) -> HeaderValue {
    let pair = Zeroizing::new(format!("{}:{}", form_encoded(client_id.as_bytes()), form_encoded(secret)));
    let field = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&field).expect("base64 is visible text");
    value.set_sensitive(true);
    value
}

/// Why an answer says nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallFailure {
    #[error(transparent)]
    Answer(#[from] FetchError),
    #[error("the answer can't be used: {0}")]
    Malformed(#[from] ParseError),
    #[error("the answer does not say whether the token is active")]
    NoStanding,
}

impl CallFailure {
    /// The label of the metric.
    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::Answer(error) => error.outcome(),
            Self::Malformed(_) | Self::NoStanding => "malformed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_secret_are_encoded_before_the_colon_comes_between() {
        let value = basic("gate:1 é", b"a+b%20/\xff~*-._");
        let text = STANDARD.decode(value.to_str().unwrap().strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "gate%3A1+%C3%A9:a%2Bb%2520%2F%FF%7E*-._");
        assert!(value.is_sensitive());
        assert_eq!(form(b"a&b=c d"), "token=a%26b%3Dc+d&token_type_hint=access_token");
    }

    #[test]
    fn only_a_strict_object_that_says_active_is_an_answer() {
        let outcome = |text: &str| match read(text.as_bytes()) {
            Ok(Standing::Active(claims)) => format!("{claims:?}"),
            Ok(Standing::Inactive) => "inactive".to_owned(),
            Err(failure) => failure.outcome().to_owned(),
        };
        assert_eq!(outcome(r#"{"active":true,"sub":"ada","exp":null}"#), r#"Claims(["sub"])"#);
        assert_eq!(outcome(r#"{"active":false,"sub":7}"#), "inactive");
        let deep = format!(r#"{{"active":true,"a":{}1{}}}"#, "[".repeat(50), "]".repeat(50));
        for bad in [
            "",
            "<html>",
            "true",
            "[true]",
            "{}",
            r#"{"active":null}"#,
            r#"{"active":"true"}"#,
            r#"{"active":1}"#,
            r#"{"active":false,"active":true}"#,
            r#"{"active":true,"sub":7}"#,
            r#"{"active":true,"exp":"soon"}"#,
            r#"{"active":true} x"#,
            &deep,
        ] {
            assert_eq!(outcome(bad), "malformed", "{bad}");
        }
    }
}
