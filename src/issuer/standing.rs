//! What the store knows of a good token that is used on a route: whether its user is still there and let in and has
//! the password of then, and whether a sliding token is blacklisted.
//!
//! A worker asks by [`Issuer::subject`] and keeps the [`Standing`] that it gets for a while; [`Issuer::judge`] is asked
//! at each request.

use std::borrow::Cow;

use serde_json::Value;

use super::{Issuer, fingerprint};
use crate::base::{ReasonCode, TokenClass};
use crate::jwt::Claims;
use crate::store::StoreError;

/// Whom and what to ask the store about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject<'t> {
    user: Option<Cow<'t, str>>,
    /// `jti` of a sliding token.
    sliding: Option<Cow<'t, str>>,
}

/// What the store said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    user: UserStanding,
    blacklisted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum UserStanding {
    NotAsked,
    Gone,
    Known { active: bool, fingerprint: Option<String> },
}

#[cfg(test)]
impl Standing {
    /// One about which nothing was asked.
    pub(crate) const fn nothing() -> Self {
        Self { user: UserStanding::NotAsked, blacklisted: false }
    }
}

impl Subject<'_> {
    /// There is nothing to ask.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.user.is_none() && self.sliding.is_none()
    }

    /// A name that no other subject has.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        match (&self.user, &self.sliding) {
            (Some(user), None) => Cow::Borrowed(user),
            // A user's id holds no NUL where a database takes it, and the number of digits tells where the first ends.
            (user, sliding) => {
                let user = user.as_deref().unwrap_or_default();
                Cow::Owned(format!("{}\0{user}{}", user.len(), sliding.as_deref().unwrap_or_default()))
            }
        }
    }

    /// For a question that outlives the token.
    #[must_use]
    pub fn into_owned(self) -> Subject<'static> {
        let owned = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        Subject { user: owned(self.user), sliding: owned(self.sliding) }
    }
}

impl Issuer {
    /// Whom a token's claims name; with `users` its user, and of a sliding token its own name.
    ///
    /// # Errors
    /// The claims name no user, or one that can't be.
    pub fn subject<'t>(&self, claims: &'t Claims, users: bool) -> Result<Subject<'t>, ReasonCode> {
        let members = claims.members();
        let token_type = members.get(&self.form.token_type_claim).and_then(Value::as_str);
        let slides = token_type == Some(TokenClass::Sliding.token_type());
        let sliding = slides.then(|| members.get(&self.form.jti_claim).and_then(Value::as_str)).flatten();
        let user = match members.get(&self.form.user_id_claim) {
            _ if !users => None,
            None => return Err(ReasonCode::MissingUser),
            Some(Value::String(id)) => Some(Cow::Borrowed(id.as_str())),
            // Older releases wrote the database's integer.
            Some(Value::Number(number)) if !number.is_f64() => Some(Cow::Owned(number.to_string())),
            Some(_) => return Err(ReasonCode::UnknownUser),
        };
        Ok(Subject { user, sliding: sliding.map(Cow::Borrowed) })
    }

    /// Asks the store. On the control plane; it takes a few seconds at most.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn standing(&self, subject: &Subject<'_>) -> Result<Standing, StoreError> {
        let blacklisted = match &subject.sliding {
            Some(jti) => {
                self.sessions.refresh_state(jti).await?.blacklisted
                    || self.is_blacklisted_by_site(jti).await?
            }
            None => false,
        };
        let user = match &subject.user {
            None => UserStanding::NotAsked,
            Some(id) => match self.users.by_id(id).await? {
                None => UserStanding::Gone,
                Some(user) => UserStanding::Known {
                    active: user.active,
                    fingerprint: self
                        .form
                        .revoke_token_claim
                        .as_ref()
                        .and_then(|_| user.password.as_ref().map(fingerprint::of)),
                },
            },
        };
        Ok(Standing { user, blacklisted })
    }

    /// Whether a token with these claims is good, as its subject stands: SimpleJWT's questions in its order.
    ///
    /// # Errors
    /// Why it is not.
    pub fn judge(&self, claims: &Claims, standing: &Standing) -> Result<(), ReasonCode> {
        if standing.blacklisted {
            return Err(ReasonCode::Revoked);
        }
        let (active, fingerprint) = match &standing.user {
            UserStanding::NotAsked => return Ok(()),
            UserStanding::Gone => return Err(ReasonCode::UnknownUser),
            UserStanding::Known { active, fingerprint } => (*active, fingerprint),
        };
        if !active && self.form.check_user_is_active {
            return Err(ReasonCode::InactiveUser);
        }
        let Some(claim) = &self.form.revoke_token_claim else { return Ok(()) };
        let told = claims.members().get(claim).and_then(Value::as_str);
        // A user whose password nobody here knows has no fingerprint, and no token can have it.
        if told.is_some() && told == fingerprint.as_deref() {
            Ok(())
        } else {
            Err(ReasonCode::PasswordChanged)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_subjects_never_share_a_name() {
        let subject = |user: Option<&'static str>, sliding: Option<&'static str>| Subject {
            user: user.map(Cow::Borrowed),
            sliding: sliding.map(Cow::Borrowed),
        };
        let names = [
            subject(Some("1"), None),
            subject(Some("1"), Some("2")),
            subject(Some("12"), Some("")),
            subject(None, Some("12")),
            subject(Some("12"), None),
        ]
        .map(|subject| subject.name().into_owned());
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{name:?}");
        }
    }
}
