//! The table `known_users`.

use super::Sqlite;
use crate::store::known_users::{self, KnownUsers};
use crate::store::{Answer, User};

impl KnownUsers for Sqlite {
    fn remember<'a>(&'a self, user: &'a User) -> Answer<'a, ()> {
        self.call(remember(self, user))
    }

    fn recall<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>> {
        self.call(recall(self, id))
    }
}

async fn remember(store: &Sqlite, user: &User) -> Result<(), sqlx::Error> {
    let facts = known_users::facts(user);
    let kept: Option<String> = kept(store, user.id.as_str()).await?;
    // Most logins tell nothing new, and a write waits for the disk.
    if kept.as_deref() == Some(facts.as_str()) {
        return Ok(());
    }
    let mut write = store.write().await?;
    sqlx::query("INSERT INTO known_users (id, facts) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET facts = excluded.facts")
        .bind(user.id.as_str())
        .bind(facts)
        .execute(&mut *write)
        .await?;
    write.commit().await
}

async fn recall(store: &Sqlite, id: &str) -> Result<Option<User>, sqlx::Error> {
    Ok(kept(store, id).await?.and_then(|facts| known_users::user(id, &facts)))
}

async fn kept(store: &Sqlite, id: &str) -> Result<Option<String>, sqlx::Error> {
    let mut reader = store.reader().await?;
    sqlx::query_scalar("SELECT facts FROM known_users WHERE id = ?")
        .bind(id)
        .fetch_optional(&mut *reader)
        .await
}
