//! Refused credentials as Django REST framework answers them, with SimpleJWT's wording: for clients that read it.
//!
//! Such an answer tells a little more about a token than the standard one does, as its clients expect.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, VARY, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use super::refusal::Refusal;
use crate::base::{ReasonCode, TokenClass};

impl Refusal {
    /// The whole answer on a route whose tokens may be of these classes. What is no 401 has the form of all errors.
    #[must_use]
    pub fn answer_as_drf(&self, scheme: &str, classes: &[TokenClass]) -> Response<Bytes> {
        let Some(body) = self.drf_body(classes) else { return self.answer_by_scheme(scheme) };
        let mut answer = Response::new(Bytes::from(body.to_string()));
        *answer.status_mut() = StatusCode::UNAUTHORIZED;
        let challenge = HeaderValue::from_str(&format!("{scheme} realm=\"api\""));
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        headers.insert(WWW_AUTHENTICATE, challenge.expect("a scheme is visible text"));
        answer
    }

    fn drf_body(&self, classes: &[TokenClass]) -> Option<Value> {
        let reason = match self {
            Self::NoToken => ReasonCode::NoToken,
            Self::InvalidToken { reason, .. } => *reason,
            Self::AmbiguousPath(_)
            | Self::PathNotAllowed
            | Self::BadHost(_)
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::BodyTimeout
            | Self::BodyUnreadable
            | Self::NoRoute
            | Self::MethodNotAllowed { .. }
            | Self::AmbiguousCredentials
            | Self::MissingIdentity { .. }
            | Self::KeysUnavailable
            | Self::RevocationsUnavailable
            | Self::IntrospectionUnavailable
            | Self::IntrospectionBusy
            | Self::UserCheckUnavailable
            | Self::LoginBusy
            | Self::StoreUnavailable
            | Self::Internal => return None,
        };
        let with_code = |detail: &str, code: &str| json!({"detail": detail, "code": code});
        Some(match reason {
            ReasonCode::NoToken => json!({"detail": "Authentication credentials were not provided."}),
            ReasonCode::MalformedCredentials => with_code(
                "Authorization header must contain two space-delimited values",
                "bad_authorization_header",
            ),
            ReasonCode::MissingUser => {
                with_code("Token contained no recognizable user identification", "token_not_valid")
            }
            ReasonCode::UnknownUser => with_code("User not found", "user_not_found"),
            ReasonCode::InactiveUser => with_code("User is inactive", "user_inactive"),
            ReasonCode::PasswordChanged => {
                with_code("The user's password has been changed.", "password_changed")
            }
            reason => json!({
                "detail": "Given token not valid for any token type",
                "code": "token_not_valid",
                "messages": classes.iter().map(|class| tried(*class, reason, classes)).collect::<Vec<_>>(),
            }),
        })
    }
}

/// What SimpleJWT says of a token that it tried as one of this class, among others perhaps.
fn tried(class: TokenClass, reason: ReasonCode, classes: &[TokenClass]) -> Value {
    let message = match reason {
        ReasonCode::Expired => "Token is expired",
        ReasonCode::MissingExpiry => "Token has no 'exp' claim",
        ReasonCode::MissingTokenId => "Token has no id",
        ReasonCode::MissingTokenType => "Token has no type",
        ReasonCode::WrongTokenType => "Token has wrong type",
        // Where sliding tokens are taken, it was one that was looked for on the blacklist, and that is no access token.
        ReasonCode::Revoked if class == TokenClass::Access && classes.contains(&TokenClass::Sliding) => {
            "Token has wrong type"
        }
        ReasonCode::Revoked => "Token is blacklisted",
        // Whatever else is wrong with it, a client is not told.
        _ => "Token is invalid",
    };
    json!({"token_class": class.name(), "token_type": class.token_type(), "message": message})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(refusal: &Refusal, classes: &[TokenClass]) -> Value {
        serde_json::from_slice(refusal.answer_as_drf("Bearer", classes).body()).expect("JSON")
    }

    #[test]
    fn each_class_that_was_tried_has_its_message() {
        let both = [TokenClass::Access, TokenClass::Sliding];
        let answer = body(&Refusal::invalid_token(ReasonCode::Revoked), &both);
        assert_eq!(answer["messages"][0]["message"], "Token has wrong type");
        assert_eq!(
            answer["messages"][1],
            json!({"token_class": "SlidingToken", "token_type": "sliding", "message": "Token is blacklisted"})
        );
    }

    #[test]
    fn an_access_token_that_was_ended_is_called_blacklisted() {
        let answer = body(&Refusal::invalid_token(ReasonCode::Revoked), &[TokenClass::Access]);
        assert_eq!(answer["messages"][0]["message"], "Token is blacklisted");
    }

    #[test]
    fn a_challenge_names_the_scheme_and_no_error() {
        let answer = Refusal::invalid_token(ReasonCode::Expired).answer_as_drf("JWT", &[TokenClass::Access]);
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers()[WWW_AUTHENTICATE], "JWT realm=\"api\"");
    }

    #[test]
    fn what_is_no_401_keeps_its_form() {
        let answer = Refusal::NoRoute.answer_as_drf("Bearer", &[TokenClass::Access]);
        assert_eq!(answer.body(), Refusal::NoRoute.answer().body());
    }
}
