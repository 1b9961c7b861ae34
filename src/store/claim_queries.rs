//! Claims that a database of the site tells of a user: statements from the gateway's file, each with one value or a list.

use std::fmt;
use std::sync::Arc;

use futures_util::future::{BoxFuture, try_join_all};
use serde_json::Value;

use super::UserId;
use super::limits::LARGEST_CLAIM;
use super::sql::{Question, QuestionError, Sql};
use crate::config::{ClaimQuery, ClaimSource, Database, FilePlace};

/// The statements of one file.
pub struct ClaimQueries(Vec<Query>);

struct Query {
    claim: String,
    question: Question,
    list: bool,
    /// For messages.
    place: FilePlace,
    sql: Arc<Sql>,
}

/// A statement can't be carried out, or gives what is no claim.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {database}: {why}")]
pub struct ClaimQueryError {
    place: FilePlace,
    database: String,
    why: Why,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error(transparent)]
    Question(#[from] QuestionError),
    #[error("no answer in time")]
    Late,
    #[error("it gives {0} values for one user: `list: true` takes them all")]
    Several(usize),
    #[error("it gives {0} bytes, {LARGEST_CLAIM} at most are taken")]
    TooLarge(usize),
}

impl ClaimQueryError {
    /// Where the file says so; the message begins with it.
    #[must_use]
    pub fn place(&self) -> &FilePlace {
        &self.place
    }
}

impl fmt::Debug for ClaimQueries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|query| &query.claim)).finish()
    }
}

impl ClaimQueries {
    /// Prepares connections, and lets each database look at its statements. One that does not answer keeps nothing from
    /// starting; what it did not look at is in the second part of the answer. Needs a tokio runtime, which must outlive
    /// this.
    ///
    /// # Errors
    /// A statement that its database will never carry out.
    pub async fn open(
        claims: &[(String, ClaimSource)],
    ) -> Result<(Self, Vec<ClaimQueryError>), ClaimQueryError> {
        let mut databases: Vec<(&Database, Arc<Sql>)> = Vec::new();
        let mut queries = Vec::new();
        for (claim, source) in claims {
            let ClaimSource::Query(query) = source else { continue };
            let ClaimQuery { pieces, database, list, place } = &**query;
            let known = databases.iter().find(|(known, _)| is_same(known, database));
            let sql = match known {
                Some((_, sql)) => Arc::clone(sql),
                None => {
                    let opened = Sql::open_for_questions(database).map_err(|error| ClaimQueryError {
                        place: place.clone(),
                        database: database.to_string(),
                        why: QuestionError::from(error).into(),
                    })?;
                    let sql = Arc::new(opened);
                    databases.push((database, Arc::clone(&sql)));
                    sql
                }
            };
            queries.push(Query {
                claim: claim.clone(),
                question: Question::new(sql.dialect(), pieces),
                list: *list,
                place: place.clone(),
                sql,
            });
        }
        let mut unseen = Vec::new();
        for query in &queries {
            match query.in_time(Box::pin(query.sql.judge(&query.question))).await {
                Ok(()) => {}
                Err(error) if query.is_final(&error.why) => return Err(error),
                Err(error) => unseen.push(error),
            }
        }
        Ok((Self(queries), unseen))
    }

    /// What the databases say of a user now: for each claim its value, or that there is none.
    ///
    /// # Errors
    /// One does not answer, or not with what can be a claim.
    pub async fn of(&self, user: &UserId) -> Result<Vec<(&str, Option<Value>)>, ClaimQueryError> {
        let asked = self.0.iter().map(async |query| Ok((query.claim.as_str(), query.value(user).await?)));
        try_join_all(asked).await
    }
}

impl Query {
    async fn value(&self, user: &UserId) -> Result<Option<Value>, ClaimQueryError> {
        let mut values = match user.as_str() {
            // PostgreSQL has no such text, and nobody such an id.
            id if id.contains('\0') => Vec::new(),
            id => self.in_time(Box::pin(self.sql.ask(&self.question, id))).await?,
        };
        let value = match values.len() {
            _ if self.list => Value::Array(values),
            0 | 1 => match values.pop() {
                Some(value) => value,
                None => return Ok(None),
            },
            several => return Err(self.error(Why::Several(several))),
        };
        match value.to_string().len() {
            ..=LARGEST_CLAIM => Ok(Some(value)),
            bytes => Err(self.error(Why::TooLarge(bytes))),
        }
    }

    async fn in_time<T>(&self, work: BoxFuture<'_, Result<T, QuestionError>>) -> Result<T, ClaimQueryError> {
        match self.sql.within_limit(work).await {
            Some(Ok(done)) => Ok(done),
            Some(Err(why)) => Err(self.error(why.into())),
            None => Err(self.error(Why::Late)),
        }
    }

    /// Whether waiting does not mend it.
    fn is_final(&self, why: &Why) -> bool {
        match why {
            Why::Question(QuestionError::Database(error)) => self.sql.is_final(error),
            Why::Question(_) => true,
            Why::Late | Why::Several(_) | Why::TooLarge(_) => false,
        }
    }

    fn error(&self, why: Why) -> ClaimQueryError {
        ClaimQueryError { place: self.place.clone(), database: self.sql.shown().to_owned(), why }
    }
}

/// Whether both are reached in the same way, as the same user.
fn is_same(one: &Database, other: &Database) -> bool {
    match (one, other) {
        (Database::Sqlite(one), Database::Sqlite(other)) => one == other,
        (Database::Postgres(one), Database::Postgres(other))
        | (Database::MySql(one), Database::MySql(other)) => one.url.expose() == other.url.expose(),
        _ => false,
    }
}
