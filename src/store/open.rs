//! Opens the place where users live.

use std::sync::Arc;

use super::{
    DjangoTables, HashedUsers, HttpUsers, KnownUsers, LdapUsers, OpenError, Passwords, UserFile, UserRows,
    Users,
};
use crate::config;

/// Opens what `users:` names. `own` has the table in the issuer's store, `known` what is kept there of users who live
/// elsewhere.
///
/// # Errors
/// [`OpenError::Users`] where it is not as the file says. A server that does not answer is no error: it is asked again at
/// the first login.
pub async fn open_users(
    users: &config::Users,
    own: Arc<dyn UserRows>,
    known: Arc<dyn KnownUsers>,
    passwords: Arc<Passwords>,
) -> Result<Box<dyn Users>, OpenError> {
    let hashed = |rows| Box::new(HashedUsers::new(rows, passwords));
    Ok(match users {
        config::Users::Own => hashed(own),
        config::Users::Django(django) => hashed(Arc::new(DjangoTables::open(django).await?)),
        config::Users::File(path) => hashed(Arc::new(UserFile::open(path).await?)),
        config::Users::Http(http) => Box::new(HttpUsers::open(http, known)?),
        config::Users::Ldap(ldap) => Box::new(LdapUsers::open(ldap, known)?),
    })
}
