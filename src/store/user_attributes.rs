//! What tokens say of Tollgate's own users, and how that changes.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::User;

/// What tokens may say of one of the gateway's own users.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserAttributes {
    /// May be empty.
    pub email: String,
    /// Names of roles joined by blanks; may be empty.
    pub roles: String,
    /// Scopes joined by blanks; may be empty.
    pub scopes: String,
    /// Claims of each token, as they are.
    pub claims: Map<String, Value>,
}

impl UserAttributes {
    /// What is known of a user.
    #[must_use]
    pub fn of(user: &User) -> Self {
        Self {
            email: user.email.clone(),
            roles: user.roles.clone(),
            scopes: user.scopes.clone(),
            claims: user.claims.clone(),
        }
    }

    /// The claims as a database keeps them.
    pub(super) fn claims_text(&self) -> String {
        serde_json::to_string(&self.claims).expect("a JSON object has a text")
    }
}

/// Makes what tokens say of a user into what they are to say, or tells why that can't be. A database that begins a call
/// anew asks again: it must answer alike.
pub type AttributesChange = Arc<dyn Fn(&mut UserAttributes) -> Result<(), String> + Send + Sync>;

/// How a change ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributesChanged {
    /// Tokens say so from now on.
    Done,
    /// The change itself told why it can't be; all is as before.
    Refused(String),
    /// There is no such user.
    NoUser,
}

/// What [`UserAttributes::claims_text`] wrote. What somebody else wrote there and is no object says nothing.
pub(super) fn claims_of(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}
