//! Users who live where nobody can be looked up by his id: what was known at the last login.

use serde_json::{Map, Value, json};

use super::{Answer, User, UserId};

/// Keeps what a login told of a user, for the refreshes after it. One entry for each user that ever logged in.
pub trait KnownUsers: Send + Sync + 'static {
    /// Keeps a user in the place of what was known before.
    fn remember<'a>(&'a self, user: &'a User) -> Answer<'a, ()>;

    /// What was known at the last login of this user.
    fn recall<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>>;
}

/// What is kept beside the id. Never a password.
pub(super) fn facts(user: &User) -> String {
    json!({ "username": user.username, "email": user.email, "roles": user.roles, "more": user.more })
        .to_string()
}

/// What [`facts`] wrote.
pub(super) fn user(id: &str, facts: &str) -> Option<User> {
    let mut facts: Map<String, Value> = serde_json::from_str(facts).ok()?;
    let more = match facts.remove("more") {
        Some(Value::Object(more)) => more,
        _ => Map::new(),
    };
    let text = |name: &str| Some(facts.get(name)?.as_str()?.to_owned());
    Some(User {
        email: text("email")?,
        roles: text("roles")?,
        more,
        ..User::named(UserId::new(id), text("username")?)
    })
}

/// Roles as a place of users names them: a list, or a text of words. A name with a blank would be two, perhaps those of
/// others, and is left out.
pub(super) fn joined(roles: Option<&Value>) -> String {
    match roles {
        Some(Value::String(words)) => words.split_whitespace().collect::<Vec<_>>().join(" "),
        Some(Value::Array(names)) => words(names.iter().filter_map(Value::as_str)),
        _ => String::new(),
    }
}

/// Those names that are one word each.
pub(super) fn words<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.filter(|name| !name.is_empty() && !name.contains(char::is_whitespace)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let mut ada =
            user("7", r#"{"username":"ada","email":"a@b","roles":"x y","more":{"team":[1]}}"#).unwrap();
        ada = user("7", &facts(&ada)).unwrap();
        assert_eq!((ada.username.as_str(), ada.email.as_str(), ada.roles.as_str()), ("ada", "a@b", "x y"));
        assert_eq!(ada.more["team"], json!([1]));
        assert!(ada.active && ada.password.is_none());
    }

    #[test]
    fn a_role_with_a_blank_is_never_two() {
        assert_eq!(joined(Some(&json!(["staff", "not admin", "", 7, "x"]))), "staff x");
        assert_eq!(joined(Some(&json!(" staff\tx "))), "staff x");
        assert_eq!(joined(Some(&json!({ "admin": true }))), "");
        assert_eq!(joined(None), "");
    }
}
