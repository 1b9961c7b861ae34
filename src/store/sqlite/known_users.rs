//! The table `known_users`.

use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::Sqlite;
use crate::store::known_users::{self, KnownUsers};
use crate::store::{Answer, User};

impl KnownUsers for Sqlite {
    fn remember<'a>(&'a self, user: &'a User) -> Answer<'a, ()> {
        Box::pin(async move {
            let (id, facts) = (user.id.as_str().to_owned(), known_users::facts(user));
            let kept = kept(self, user.id.as_str()).await?;
            // Most logins tell nothing new, and a write waits for the disk.
            if kept.as_deref() == Some(facts.as_str()) {
                return Ok(());
            }
            self.write(move |writer| remember(writer, &id, &facts)).await
        })
    }

    fn recall<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>> {
        Box::pin(async move { Ok(kept(self, id).await?.and_then(|facts| known_users::user(id, &facts))) })
    }
}

fn remember(writer: &Connection, id: &str, facts: &str) -> Result<()> {
    writer
        .prepare_cached(
            "INSERT INTO known_users (id, facts) VALUES (?, ?) \
             ON CONFLICT (id) DO UPDATE SET facts = excluded.facts",
        )?
        .execute(params![id, facts])?;
    Ok(())
}

fn kept<'a>(store: &'a Sqlite, id: &str) -> Answer<'a, Option<String>> {
    let id = id.to_owned();
    store.look_up(move |reader| {
        reader
            .prepare_cached("SELECT facts FROM known_users WHERE id = ?")?
            .query_row([&id], |row| row.get(0))
            .optional()
    })
}
