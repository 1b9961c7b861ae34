//! The table `known_users`.

use super::{ServerStore, is_user_id};
use crate::store::User;
use crate::store::known_users;
use crate::store::sql::{Dialect, Link};

pub(super) async fn remember(store: &ServerStore, user: &User) -> Result<(), sqlx::Error> {
    let (id, facts) = (user.id.as_str(), known_users::facts(user));
    let mut link = store.link().await?;
    // Most logins tell nothing new, and a write waits for the disk.
    if kept(&mut link, id).await?.as_deref() == Some(facts.as_str()) {
        return Ok(());
    }
    let otherwise = match link.dialect() {
        Dialect::MySql => "ON DUPLICATE KEY UPDATE facts = ?",
        Dialect::Postgres | Dialect::Sqlite => "ON CONFLICT (id) DO UPDATE SET facts = ?",
    };
    let statement = format!("INSERT INTO known_users (id, facts) VALUES (?, ?) {otherwise}");
    link.execute(&statement, &[id.into(), facts.as_str().into(), facts.as_str().into()]).await?;
    Ok(())
}

pub(super) async fn recall(store: &ServerStore, id: &str) -> Result<Option<User>, sqlx::Error> {
    if !is_user_id(id) {
        return Ok(None);
    }
    let facts = kept(&mut store.link().await?, id).await?;
    Ok(facts.and_then(|facts| known_users::user(id, &facts)))
}

async fn kept(link: &mut Link, id: &str) -> Result<Option<String>, sqlx::Error> {
    let row = link.row("SELECT facts FROM known_users WHERE id = ?", &[id.into()]).await?;
    row.map(|row| row.get(0)).transpose()
}
