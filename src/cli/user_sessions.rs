//! `tollgate user sessions`, `logout`, `disable` and `enable`.

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};

use super::{Failure, find_user, no_user, open_store};
use crate::config::Issuer;
use crate::issuer::{ShuttingOut, end_user_at_site, open_mirror, shut_out};
use crate::server::clock;
use crate::store::{Missing, Store, UserId};

#[derive(Debug, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("whom").required(true).args(["name", "id"]))]
pub(super) struct Whom {
    /// A user of the gateway's own.
    name: Option<String>,
    /// Any user, by the id that tokens carry: also one who lives elsewhere.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    id: Option<String>,
}

impl Whom {
    /// Whether no table of users is needed to know who is meant.
    pub(super) fn is_by_id(&self) -> bool {
        self.id.is_some()
    }

    async fn find(&self, store: &dyn Store) -> Result<UserId, Failure> {
        match (&self.id, &self.name) {
            (Some(id), _) => Ok(UserId::new(id.as_str())),
            (None, name) => Ok(find_user(store, name.as_deref().unwrap_or_default()).await?.id),
        }
    }
}

#[expect(clippy::print_stdout, reason = "the command line's own output")]
pub(super) async fn list(issuer: &Issuer, whom: &Whom) -> Result<(), Failure> {
    let store = open_store(issuer, Missing::Refuse).await?;
    let user = whom.find(&*store).await?;
    let now = clock::now();
    let sessions = store.sessions_of(&user, now).await.map_err(|error| Failure::of(&error))?;
    for session in &sessions {
        let (age, left) = (now.since(session.started_at), session.ends_at.since(now));
        let (age, left) = (age.as_secs(), left.as_secs());
        println!("{}  began {age}s ago, ends in {left}s unless it is refreshed", session.sid);
    }
    if sessions.is_empty() {
        println!("no session");
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the command line's own output")]
pub(super) async fn logout(issuer: &Issuer, whom: &Whom) -> Result<(), Failure> {
    let store = open_store(issuer, Missing::Refuse).await?;
    let user = whom.find(&*store).await?;
    let how = ShuttingOut::for_now(issuer, clock::now());
    let ended = shut_out(&*store, &how, &user).await.map_err(|error| Failure::of(&error))?;
    println!("ended {} of the user's sessions, and all access tokens", ended.sessions.len());
    // What runs here ends first: who has to wait for the site is the operator.
    tell_site(issuer, &*store, &user).await.map_err(|why| untold(&why))
}

async fn tell_site(issuer: &Issuer, store: &dyn Store, user: &UserId) -> Result<(), Failure> {
    let Some(site) = open_mirror(&issuer.users).await.map_err(|error| Failure::of(&error))? else {
        return Ok(());
    };
    end_user_at_site(&site, store, &issuer.form, user, clock::now())
        .await
        .map_err(|error| Failure::of(&error))
}

/// A failure after which something lives on at the site.
pub(super) fn untold(why: &Failure) -> Failure {
    let (Failure::Usage(why) | Failure::Other(why)) = why;
    Failure::Other(format!(
        "the site's blacklist was not told, so after a roll-back the refresh tokens would pass: run this again. {why}"
    ))
}

#[expect(clippy::print_stdout, reason = "the command line's own output")]
pub(super) async fn set_active(issuer: &Issuer, name: &str, active: bool) -> Result<(), Failure> {
    let store = open_store(issuer, Missing::Refuse).await?;
    if !store.set_active(name, active).await.map_err(|error| Failure::of(&error))? {
        return Err(no_user(name));
    }
    if active {
        println!("{name} may log in again");
        return Ok(());
    }
    let user = find_user(&*store, name).await?.id;
    let how = ShuttingOut::for_good(issuer, clock::now());
    let ended = shut_out(&*store, &how, &user).await.map_err(|error| Failure::of(&error))?;
    println!("{name} is kept out; ended {} sessions, and all access tokens", ended.sessions.len());
    Ok(())
}
