//! Claims from elsewhere: a service of the site is asked at each login and at each refresh, so that what tokens say of
//! their users stays fresh.
//!
//! It is asked before anything is written, and only about a user whose password or refresh token was good. Its answer is
//! checked: an object of bounded size, and no claim by which the issuer itself decides.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::Uri;
use serde_json::{Map, Value, json};

use super::mint::Mint;
use crate::config::{self, OnHookError, TokenForm};
use crate::egress::client_options;
use crate::http::client::{Client, ClientTlsError, FetchError, Origin};
use crate::jwt::{Limits, ParseError, parse_object};
use crate::store::User;

const ACCEPT: &str = "application/json";
/// More would not fit into a token that routes take.
const LARGEST_ANSWER: usize = 4 << 10;

/// The site's service.
pub(super) struct Hook {
    client: Client,
    url: Uri,
    on_error: OnHookError,
    form: TokenForm,
    /// The last call failed, and that was said.
    failing: AtomicBool,
}

/// Why there are no claims.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It does not answer, or not well.
    #[error("issuer.hook: {0}")]
    Answer(#[from] FetchError),
    /// What it answers is no object.
    #[error("issuer.hook: the answer is no JSON object: {0}")]
    Malformed(#[from] ParseError),
    /// The answer's size in bytes, which is too large.
    #[error("issuer.hook: the answer has {0} bytes, {LARGEST_ANSWER} at most are taken")]
    TooLarge(usize),
    /// It names a claim by which the issuer itself decides.
    #[error("issuer.hook: the claim {0:?} is the issuer's own")]
    Reserved(String),
}

/// What makes the issuer ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion<'t> {
    Login,
    /// With the claims of the token that is exchanged.
    Refresh(&'t Map<String, Value>),
}

impl Occasion<'_> {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Refresh(_) => "refresh",
        }
    }
}

impl Hook {
    pub(super) fn new(hook: &config::ClaimHook, form: &TokenForm) -> Result<Self, ClientTlsError> {
        let mut options = client_options(&hook.fetch);
        // The file itself names it, so it is shown what it asks to see.
        options.known.extend(Origin::of(&hook.url));
        Ok(Self {
            client: Client::new(options)?,
            url: hook.url.clone(),
            on_error: hook.on_error,
            form: form.clone(),
            failing: AtomicBool::new(false),
        })
    }

    /// Adds what the service says of a user to the claims of a new token. `mint` knows what the file says of claims.
    /// Answers with why nothing is added, where the file lets that pass.
    pub(super) async fn add(
        &self,
        claims: &mut Map<String, Value>,
        mint: &Mint,
        user: &User,
        occasion: Occasion<'_>,
    ) -> Result<Option<HookError>, HookError> {
        match self.ask(user, occasion).await {
            Ok(answer) => {
                self.failing.store(false, Ordering::Relaxed);
                claims.extend(answer);
                Ok(None)
            }
            Err(error) if self.on_error == OnHookError::Keep => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!("tokens are made without fresh claims: {error}");
                }
                if let Occasion::Refresh(old) = occasion {
                    let is_known = |name: &str| mint.knows_claim(name) || user.claims.contains_key(name);
                    keep(claims, old, |name| self.form.is_reserved(name) || is_known(name));
                }
                Ok(Some(error))
            }
            Err(error) => Err(error),
        }
    }

    async fn ask(&self, user: &User, occasion: Occasion<'_>) -> Result<Map<String, Value>, HookError> {
        let question = json!({
            "event": occasion.as_str(),
            "user": {
                "id": user.id.as_str(),
                "username": user.username,
                "email": user.email,
                "roles": user.roles.split_ascii_whitespace().collect::<Vec<_>>(),
            },
        });
        let answer = self.client.post_json(&self.url, ACCEPT, Bytes::from(question.to_string())).await?;
        check(&answer, &self.form)
    }
}

/// The claims of an answer.
fn check(answer: &[u8], form: &TokenForm) -> Result<Map<String, Value>, HookError> {
    if answer.len() > LARGEST_ANSWER {
        return Err(HookError::TooLarge(answer.len()));
    }
    let claims = parse_object(answer, &Limits::default())?;
    match claims.keys().find(|name| form.is_reserved(name)) {
        Some(name) => Err(HookError::Reserved(name.chars().take(64).collect())),
        None => Ok(claims),
    }
}

/// Goes on with those claims of the old token that nobody else `knows`: one that the file takes from the user and that
/// is absent now is gone for good, such as the team of a user who left it.
fn keep(claims: &mut Map<String, Value>, old: &Map<String, Value>, knows: impl Fn(&str) -> bool) {
    for (name, value) in old.iter().filter(|(name, _)| !knows(name)) {
        claims.entry(name.clone()).or_insert_with(|| value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_sets_what_the_issuer_decides_by() {
        let mut form = TokenForm::usual();
        form.user_id_claim = "who".to_owned();
        form.revoke_token_claim = Some("print".to_owned());
        for name in ["exp", "sub", "sid", "jti", "user_id", "token_type", "who", "print", "aud", "iss", "nbf"]
        {
            let answer = json!({"tenant": "north", name: "x"}).to_string();
            assert!(matches!(check(answer.as_bytes(), &form), Err(HookError::Reserved(_))), "{name}");
        }
        let answer = json!({"tenant": "north", "limits": {"a": [1]}});
        assert_eq!(Value::Object(check(answer.to_string().as_bytes(), &form).unwrap()), answer);
    }

    #[test]
    fn an_answer_is_one_small_object_without_doubled_members() {
        let form = TokenForm::usual();
        for bad in ["", "[]", "null", "\"x\"", "{", r#"{"a":1,"a":2}"#, "{} {}"] {
            assert!(matches!(check(bad.as_bytes(), &form), Err(HookError::Malformed(_))), "{bad}");
        }
        let long = json!({"a": "x".repeat(LARGEST_ANSWER)}).to_string();
        assert!(matches!(check(long.as_bytes(), &form), Err(HookError::TooLarge(_))));
    }

    #[test]
    fn old_claims_are_kept_where_nobody_knows_better() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let mut claims = object(json!({"exp": 2, "username": "new"}));
        let old = object(
            json!({"exp": 1, "username": "old", "tenant": "north", "sid": "of-another", "team": "left"}),
        );
        keep(&mut claims, &old, |name| TokenForm::usual().is_reserved(name) || name == "team");
        assert_eq!(Value::Object(claims), json!({"exp": 2, "username": "new", "tenant": "north"}));
    }
}
