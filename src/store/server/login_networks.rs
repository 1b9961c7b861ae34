//! The table `login_networks`.

use super::ServerStore;
use crate::base::UnixTime;
use crate::store::login_networks::NetworkDigest;
use crate::store::sql::Dialect;

pub(super) async fn note(
    store: &ServerStore,
    digest: &NetworkDigest,
    until: UnixTime,
) -> Result<(), sqlx::Error> {
    let mut link = store.link().await?;
    let otherwise = match link.dialect() {
        Dialect::MySql => "ON DUPLICATE KEY UPDATE known_until",
        Dialect::Postgres | Dialect::Sqlite => "ON CONFLICT (digest) DO UPDATE SET known_until",
    };
    let statement = format!(
        "INSERT INTO login_networks (digest, known_until) VALUES (?, ?) \
         {otherwise} = greatest(login_networks.known_until, ?)"
    );
    link.execute(&statement, &[digest[..].into(), until.into(), until.into()]).await?;
    Ok(())
}

pub(super) async fn knows(
    store: &ServerStore,
    digest: &NetworkDigest,
    now: UnixTime,
) -> Result<bool, sqlx::Error> {
    let statement = "SELECT known_until FROM login_networks WHERE digest = ? AND known_until > ?";
    let row = store.link().await?.row(statement, &[digest[..].into(), now.into()]).await?;
    Ok(row.is_some())
}
