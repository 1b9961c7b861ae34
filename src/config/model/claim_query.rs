//! `{ query: … }` of `issuer.claims` as meant.

use std::fmt;

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
    pub place: FilePlace,
}

/// Where something stands in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilePlace(pub(in crate::config) String);

impl fmt::Display for FilePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
