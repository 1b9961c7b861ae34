//! What tokens say of the gateway's own users: `tollgate user add`, `set`, `list` and `remove`.

use std::sync::Arc;

use clap::Args;
use serde_json::Value;

use super::token::claim;
use super::{Failure, find_user, no_user, open_store};
use crate::config::{Compatibility, Issuer};
use crate::issuer::{ShuttingOut, shut_out};
use crate::server::clock;
use crate::store::{AttributesChanged, Missing, User, UserAttributes};

/// Claims of one user together, as JSON: more would not fit into a token that routes take.
const LARGEST_CLAIMS: usize = 2 * 1024;

/// What is said of a new user.
#[derive(Debug, Args)]
pub(super) struct Said {
    /// An address for the `email` claim.
    #[arg(long, value_name = "EMAIL")]
    email: Option<String>,
    /// A role; may be given several times.
    #[arg(long = "role", value_name = "ROLE", value_parser = word)]
    roles: Vec<String>,
    /// A scope; may be given several times.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = word)]
    scopes: Vec<String>,
    /// A claim of each of the user's tokens. A value that is JSON is taken as JSON, any other as text.
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Value)>,
}

/// What is not said any more.
#[derive(Debug, Args)]
pub(super) struct Unsaid {
    /// Take all roles away.
    #[arg(long, conflicts_with = "roles")]
    no_roles: bool,
    /// Take all scopes away.
    #[arg(long, conflicts_with = "scopes")]
    no_scopes: bool,
    /// Take a claim away; may be given several times.
    #[arg(long = "no-claim", value_name = "NAME")]
    no_claims: Vec<String>,
}

/// A role and a scope are written with blanks between them.
fn word(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(char::is_whitespace) || text.contains(char::is_control) {
        return Err("expected one word".into());
    }
    Ok(text.to_owned())
}

impl Said {
    /// What is known of a user, changed by what is said here.
    ///
    /// # Errors
    /// Why tokens can't say so.
    pub(super) fn change(&self, attributes: &mut UserAttributes) -> Result<(), String> {
        if let Some(email) = &self.email {
            attributes.email.clone_from(email);
        }
        if !self.roles.is_empty() {
            attributes.roles = self.roles.join(" ");
        }
        if !self.scopes.is_empty() {
            attributes.scopes = self.scopes.join(" ");
        }
        attributes.claims.extend(self.claims.iter().cloned());
        let size = Value::Object(attributes.claims.clone()).to_string().len();
        if size > LARGEST_CLAIMS {
            return Err(format!("the claims have {size} bytes together, {LARGEST_CLAIMS} at most are kept"));
        }
        Ok(())
    }

    /// Refuses claims that somebody else sets.
    pub(super) fn check(&self, issuer: &Issuer) -> Result<(), Failure> {
        for (name, _) in &self.claims {
            let given_by_file = issuer.claims.iter().any(|(known, _)| known == name);
            if issuer.form.is_reserved(name) || given_by_file {
                let who = if given_by_file { "`issuer.claims` of the file" } else { "the issuer" };
                return Err(Failure::Usage(format!("{who} sets the claim {name:?} itself")));
            }
        }
        Ok(())
    }

    fn is_nothing(&self) -> bool {
        self.email.is_none() && self.roles.is_empty() && self.scopes.is_empty() && self.claims.is_empty()
    }
}

impl Unsaid {
    /// `tombstones`: with a service of claims, what it says is kept while it does not answer. A claim that is null tells
    /// that an old one is not the service's.
    fn change(&self, attributes: &mut UserAttributes, tombstones: bool) {
        if self.no_roles {
            attributes.roles.clear();
        }
        if self.no_scopes {
            attributes.scopes.clear();
        }
        for name in &self.no_claims {
            if attributes.claims.remove(name).is_some() && tombstones {
                attributes.claims.insert(name.clone(), Value::Null);
            }
        }
    }

    fn is_nothing(&self) -> bool {
        !self.no_roles && !self.no_scopes && self.no_claims.is_empty()
    }
}

/// Changes what tokens say of a user.
#[expect(clippy::print_stdout, reason = "the command line's own output")]
pub(super) async fn set(issuer: &Issuer, name: &str, said: Said, unsaid: Unsaid) -> Result<(), Failure> {
    if said.is_nothing() && unsaid.is_nothing() {
        return Err(Failure::Usage("nothing to set: see `tollgate user set --help`".into()));
    }
    said.check(issuer)?;
    let store = open_store(issuer, Missing::Refuse).await?;
    let tombstones = issuer.hook.is_some();
    let change = move |attributes: &mut UserAttributes| {
        unsaid.change(attributes, tombstones);
        said.change(attributes)
    };
    let changed = store.change_attributes(name, Arc::new(change)).await;
    match changed.map_err(|error| Failure::of(&error))? {
        AttributesChanged::Done => {}
        AttributesChanged::Refused(why) => return Err(Failure::Usage(why)),
        AttributesChanged::NoUser => return Err(no_user(name)),
    }
    // SimpleJWT's refresh copies what the old token says of its user.
    let from = match issuer.compatibility {
        Compatibility::Tollgate => "login or refresh",
        Compatibility::SimpleJwt => "login",
    };
    println!("changed {name}; tokens say so from the next {from} on");
    Ok(())
}

/// Prints each user on a line of its own, in the order of their names.
#[expect(clippy::print_stdout, reason = "the command line's own output")]
pub(super) async fn list(issuer: &Issuer, as_json: bool) -> Result<(), Failure> {
    let store = open_store(issuer, Missing::Refuse).await?;
    let mut after = String::new();
    loop {
        let users = store.users_after(&after).await.map_err(|error| Failure::of(&error))?;
        let Some(last) = users.last() else { return Ok(()) };
        for user in &users {
            println!("{}", if as_json { json(user).to_string() } else { line(user) });
        }
        after.clone_from(&last.username);
    }
}

fn json(user: &User) -> Value {
    serde_json::json!({
        "id": user.id.as_str(),
        "username": user.username,
        "email": user.email,
        "active": user.active,
        "roles": user.roles.split_whitespace().collect::<Vec<_>>(),
        "scopes": user.scopes.split_whitespace().collect::<Vec<_>>(),
        "claims": user.claims,
        "last_login": user.last_login.map(|time| time.0),
    })
}

fn line(user: &User) -> String {
    let mut line = format!("{}  id {}", user.username, user.id);
    let told = [("email", &user.email), ("roles", &user.roles), ("scopes", &user.scopes)];
    for (name, value) in told.into_iter().filter(|(_, value)| !value.is_empty()) {
        line = format!("{line}  {name} {value}");
    }
    if !user.claims.is_empty() {
        line = format!("{line}  claims {}", Value::Object(user.claims.clone()));
    }
    if user.active { line } else { format!("{line}  kept out") }
}

/// Removes a user whose tokens were ended before: nobody else ever gets the id that they name.
#[expect(clippy::print_stdout, reason = "the command line's own output")]
pub(super) async fn remove(issuer: &Issuer, name: &str) -> Result<(), Failure> {
    let store = open_store(issuer, Missing::Refuse).await?;
    let user = find_user(&*store, name).await?;
    // Kept out first: a login between the two steps would outlive its user.
    store.set_active(name, false).await.map_err(|error| Failure::of(&error))?;
    let how = ShuttingOut::for_good(issuer, clock::now());
    let ended = shut_out(&*store, &how, &user.id).await.map_err(|error| Failure::of(&error))?;
    if !store.remove_user(name).await.map_err(|error| Failure::of(&error))? {
        return Err(no_user(name));
    }
    println!("removed {name}; ended {} sessions, and all access tokens", ended.sessions.len());
    Ok(())
}
