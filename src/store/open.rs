//! Opens the place where users live.

use std::sync::Arc;

use super::{DjangoTables, HashedUsers, OpenError, Passwords, UserFile, UserRows, Users};
use crate::config;

/// Opens what `users:` names. `own` is the table in the issuer's store.
///
/// # Errors
/// [`OpenError::Users`] where it is not as the file says. A server that does not answer is no error: it is asked again at
/// the first login.
pub async fn open_users(
    users: &config::Users,
    own: Arc<dyn UserRows>,
    passwords: Arc<Passwords>,
) -> Result<Box<dyn Users>, OpenError> {
    let rows: Arc<dyn UserRows> = match users {
        config::Users::Own => own,
        config::Users::Django(django) => Arc::new(DjangoTables::open(django).await?),
        config::Users::File(path) => Arc::new(UserFile::open(path).await?),
        config::Users::Http(_) | config::Users::Ldap(_) => own,
    };
    Ok(Box::new(HashedUsers::new(rows, passwords)))
}
