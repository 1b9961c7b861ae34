//! `tollgate user`.

use std::path::Path;

use clap::{Args, Subcommand};
use tokio::runtime::Handle;

use super::user_attributes::{self, Said, Unsaid};
use super::user_sessions::{self, Whom};
use super::{Failure, find_user, issuer, no_user, open_store, password, read, runtime};
use crate::config::{Issuer, Users};
use crate::issuer::check_credential;
use crate::server::clock;
use crate::store::{Missing, NewUser, Passwords, StoreError, UserAttributes};

/// As long as Django's column.
const LONGEST_NAME: usize = 150;

/// Add users of the gateway's own, set their passwords, and end sessions.
#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Add a user. The password is asked for twice.
    #[command(
        after_help = "Examples:\n  tollgate user add ada --email ada@example.com --role admin --role staff\n  \
                            pass show ada | tollgate user add ada --password-stdin"
    )]
    Add(Add),
    /// Change what a user's tokens say: address, roles, scopes, claims.
    ///
    /// Roles and scopes take the place of those that were there, a claim that of the one of its name. Tokens that are
    /// out stay as they are until they are refreshed.
    #[command(
        after_help = "Examples:\n  tollgate user set ada --role admin --scope orders:read --scope orders:write\n  \
                            tollgate user set ada --claim 'teams=[\"north\"]' --no-claim plan --no-roles"
    )]
    Set {
        /// Who.
        name: String,
        #[command(flatten)]
        said: Said,
        #[command(flatten)]
        unsaid: Unsaid,
    },
    /// List the users, a line each.
    #[command(after_help = "Examples:\n  tollgate user list\n  tollgate user list --json | jq -r .username")]
    List {
        /// Print a JSON object for each.
        #[arg(long)]
        json: bool,
    },
    /// Remove a user, and end its sessions and access tokens. A gateway that runs hears of it within a second.
    #[command(after_help = "Example:\n  tollgate user remove ada")]
    Remove {
        /// Who.
        name: String,
    },
    /// Set a user's password. It is asked for twice.
    #[command(after_help = "Example:\n  tollgate user passwd ada")]
    Passwd {
        /// Who.
        name: String,
        /// Take the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// List a user's sessions, the oldest first.
    #[command(after_help = "Example:\n  tollgate user sessions ada")]
    Sessions(Whom),
    /// End a user's sessions and access tokens. A gateway that runs hears of it within a second.
    #[command(after_help = "Examples:\n  tollgate user logout ada\n  tollgate user logout --id 42")]
    Logout(Whom),
    /// Keep a user out, and end its sessions and access tokens. A gateway that runs hears of it within a second.
    #[command(after_help = "Example:\n  tollgate user disable ada")]
    Disable {
        /// Who.
        name: String,
    },
    /// Let a user in again who was kept out. What was ended stays so.
    #[command(after_help = "Example:\n  tollgate user enable ada")]
    Enable {
        /// Who.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// The name to log in with; compared with case.
    name: String,
    #[command(flatten)]
    said: Said,
    /// Take the password from the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
}

impl User {
    pub(super) fn run(self, file: &Path) -> Result<(), Failure> {
        let config = read(file)?;
        let issuer = issuer(&config, file)?;
        // By an id that tokens carry, sessions are found wherever their user lives.
        let by_id = matches!(&self, Self::Sessions(whom) | Self::Logout(whom) if whom.is_by_id());
        if !by_id && !matches!(issuer.users, Users::Own) {
            return Err(Failure::Usage(
                "`issuer.users` says that users live elsewhere: change them there; `sessions` and `logout` take --id"
                    .into(),
            ));
        }
        match self {
            Self::Add(user) => runtime()?.block_on(add(issuer, user)),
            Self::Set { name, said, unsaid } => {
                runtime()?.block_on(user_attributes::set(issuer, &name, said, unsaid))
            }
            Self::List { json } => runtime()?.block_on(user_attributes::list(issuer, json)),
            Self::Remove { name } => runtime()?.block_on(user_attributes::remove(issuer, &name)),
            Self::Passwd { name, password_stdin } => {
                runtime()?.block_on(passwd(issuer, &name, password_stdin))
            }
            Self::Sessions(whom) => runtime()?.block_on(user_sessions::list(issuer, &whom)),
            Self::Logout(whom) => runtime()?.block_on(user_sessions::logout(issuer, &whom)),
            Self::Disable { name } => runtime()?.block_on(user_sessions::set_active(issuer, &name, false)),
            Self::Enable { name } => runtime()?.block_on(user_sessions::set_active(issuer, &name, true)),
        }
    }
}

#[expect(clippy::print_stdout, reason = "the command line's own output")]
async fn add(issuer: &Issuer, user: Add) -> Result<(), Failure> {
    check_name(&user.name)?;
    let mut attributes = UserAttributes::default();
    user.said.check(issuer)?;
    user.said.change(&mut attributes).map_err(Failure::Usage)?;
    let store = open_store(issuer, Missing::Create).await?;
    if store.user_by_name(&user.name).await.map_err(|error| Failure::of(&error))?.is_some() {
        return Err(taken(&user.name));
    }
    let password = password::read(user.password_stdin)?;
    let hash = passwords().hash(password).await.map_err(|error| Failure::of(&error))?;
    let new = NewUser { username: user.name, password: hash, attributes };
    let id = store.add_user(&new, clock::now()).await.map_err(|error| match error {
        StoreError::Conflict => taken(&new.username),
        other @ StoreError::Unavailable { .. } => Failure::of(&other),
    })?;
    println!("added the user {} with id {id}", new.username);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the command line's own output")]
async fn passwd(issuer: &Issuer, name: &str, from_stdin: bool) -> Result<(), Failure> {
    let store = open_store(issuer, Missing::Refuse).await?;
    find_user(&*store, name).await?;
    let password = password::read(from_stdin)?;
    let hash = passwords().hash(password).await.map_err(|error| Failure::of(&error))?;
    if !store.set_password(name, &hash).await.map_err(|error| Failure::of(&error))? {
        return Err(no_user(name));
    }
    println!("set the password of {name}");
    Ok(())
}

fn passwords() -> Passwords {
    Passwords::new(Handle::current(), 1)
}

fn taken(name: &str) -> Failure {
    Failure::Other(format!("there is a user {name:?} already: `tollgate user passwd` sets a password"))
}

/// What a login could never send, or a log line should not hold, is no name.
fn check_name(name: &str) -> Result<(), Failure> {
    check_credential(name).map_err(|why| Failure::Usage(format!("the name {why}")))?;
    if name.chars().count() > LONGEST_NAME {
        return Err(Failure::Usage(format!("the name is longer than {LONGEST_NAME} characters")));
    }
    if name.chars().any(char::is_control) {
        return Err(Failure::Usage("the name holds a control character".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_that_no_login_could_send() {
        for name in ["ada", "ada@example.com", "Zoë Lovelace"] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
        for name in ["", " ada", "ada ", "a\u{0}da", "a\nda", &"a".repeat(151)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
