//! `{ query: … }` of `issuer.claims` as meant.

use super::Database;

/// A claim whose value the site's database tells, at each login and each refresh.
#[derive(Debug, Clone)]
pub struct ClaimQuery {
    /// `query:` the statement in pieces: between each two of them stands the user's id. Never fewer than two.
    pub pieces: Vec<String>,
    /// `database:` which one is asked; default that of `users.django`.
    pub database: Database,
    /// `list:` the value is a list, with one element for each row; default false, the value of one row.
    pub list: bool,
    /// Where the file says so, for messages: `gateway.yaml:12:9: issuer.claims.plan`.
    pub place: String,
}
