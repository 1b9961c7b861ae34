//! The checked file: what the program needs, in types that can't be wrong.
//!
//! Everything here was validated by the readers beside this file: names refer to things that exist
//! (by index into the lists of [`Config`]), paths are absolute or relative to the file's folder already,
//! limits are within range.

mod claim_query;
mod fetch;
mod hook;
mod issuer;
mod providers;
mod routes;
mod server;
mod sessions;
mod token_form;
mod upstreams;
mod users;

use std::fmt;
use std::path::PathBuf;

use crate::base::UnixTime;

pub use self::claim_query::*;
pub use self::fetch::*;
pub use self::hook::*;
pub use self::issuer::*;
pub use self::providers::*;
pub use self::routes::*;
pub use self::server::*;
pub use self::sessions::*;
pub use self::token_form::*;
pub use self::upstreams::*;
pub use self::users::*;

/// One valid `gateway.yaml`.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file itself, for messages.
    pub file: PathBuf,
    /// Make what is missing at start; only with listeners on loopback.
    pub development: bool,
    /// `server:`.
    pub server: Server,
    /// `admin:`; without it there is no admin listener.
    pub admin: Option<Admin>,
    /// `providers:`, in the order of the file.
    pub providers: Vec<Provider>,
    /// `issuer:`; without it Tollgate issues no tokens.
    pub issuer: Option<Issuer>,
    /// `revocations:`.
    pub revocations: RevocationRules,
    /// `upstreams:`, in the order of the file, then those that routes name by URL.
    pub upstreams: Vec<Upstream>,
    /// `routes:`, in the order of the file.
    pub routes: Vec<Route>,
    /// `state.directory`, by default `data` beside the file.
    pub state_directory: PathBuf,
    /// `observability:`.
    pub observability: Observability,
    /// What the presets of `providers:` stand for, in the order of the file.
    pub presets: Vec<PresetMeaning>,
    /// What is allowed but deserves a word, e.g. `audiences: any`. Printed at start and by `check`.
    pub warnings: Vec<Warning>,
}

/// What a `preset:` stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresetMeaning {
    /// Of which provider.
    pub provider: String,
    /// Its name.
    pub preset: String,
    /// YAML that says the same without it: `providers:` with this provider. Variables are not put in.
    pub words: String,
}

impl Config {
    /// What deserves a word at this time: [`Config::warnings`], and what was to be until a date that has passed.
    #[must_use]
    pub fn warnings_at(&self, now: UnixTime) -> Vec<Warning> {
        let ended = self.providers.iter().filter_map(|provider| {
            let until = provider.rules.until.filter(|until| until.at <= now)?;
            Some(Warning {
                place: until.place,
                path: format!("providers.{}.until", provider.name),
                message: "has passed: its tokens are refused, and the provider can go".to_owned(),
            })
        });
        self.warnings.iter().cloned().chain(ended).collect()
    }
}

/// A remark on a valid file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Line and column of what it is about, from 1.
    pub place: (usize, usize),
    /// The path of the key, e.g. `providers.legacy.audiences`.
    pub path: String,
    /// What to think of.
    pub message: String,
}

/// Without the file, whose name the one who prints it knows: `12:5: providers.legacy.audiences: …`.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.place.0, self.place.1, self.path, self.message)
    }
}

/// `observability:`.
#[derive(Debug, Clone)]
pub struct Observability {
    /// `access_log.to`: one JSON line a request, on standard output unless `off`.
    pub access_log: bool,
}
