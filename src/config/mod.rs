//! `gateway.yaml`: from the text as written to types as meant.
//!
//! Reads the file and the secrets that it names, and nothing else: certificates, key files and the database are
//! opened by those who use them. Nothing here reads the environment by itself; the caller hands it in.
//!
//! `places` (where each value stands, and what makes a file unfit to be read) → `written` (the values) →
//! `presets` (what they stand for) → `file` and a reader for each section, which ask `walk` for their keys → [`Config`]. All mistakes of a file
//! are found at once, each with its line, column, path and what to do about it.

mod claim_column;
mod claim_query;
mod claim_rules;
mod credential;
mod environment;
mod file;
mod hook;
mod identity;
mod introspection;
mod issuer;
mod issuer_rule;
mod jwks;
mod manner;
mod mistake;
mod model;
mod pattern;
mod places;
mod presets;
mod providers;
mod proxy;
mod remote_keys;
mod routes;
mod secret;
mod section;
mod server;
mod sessions;
mod tenant_pattern;
mod throttle;
mod token_form;
mod token_from;
mod token_typ;
mod upstreams;
mod users;
mod value;
mod walk;
mod written;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub use issuer::JWKS_PATH;
pub use mistake::{Mistake, MistakeKind, Mistakes};
pub use model::*;
pub use tenant_pattern::{TenantPattern, TenantPlace};
pub use token_typ::TokenTyp;

/// Longer than any file that a person writes.
const LARGEST_FILE: usize = 1 << 20;

/// Reads a file. `environment` looks a variable up.
///
/// # Errors
/// All that is wrong with the file; also that it can't be opened.
pub fn read(path: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Config, Mistakes> {
    let unreadable = |error: &dyn ToString| {
        Mistakes::one(Mistake::of_file(path, MistakeKind::Unreadable(error.to_string())))
    };
    let bytes = open(path).map_err(|error| unreadable(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| unreadable(&error.utf8_error()))?;
    read_text(&text, path, environment)
}

/// Reads the text of a file. `path` is what its mistakes name; files that the text names are looked for beside
/// it.
///
/// # Errors
/// All that is wrong with the text.
pub fn read_text(
    text: &str,
    path: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Mistakes> {
    if text.len() > LARGEST_FILE {
        let kind = MistakeKind::FileTooLarge { limit_kib: LARGEST_FILE >> 10 };
        return Err(Mistakes::one(Mistake::of_file(path, kind)));
    }
    // Editors of one system put it there, and parsers differ in whether it is a part of the first key.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let at = |(place, kind)| unfit(text, path, place, kind);
    let marks =
        places::find(text).map_err(|mistakes| Mistakes::sorted(mistakes.into_iter().map(at).collect()))?;
    let written = written::read(text, &marks).map_err(|mistake| Mistakes::one(at(mistake)))?;
    let reader = walk::Reader::new(path, environment);
    let (written, presets) = presets::expand(&reader.root(&written));
    let config = file::read(&reader.root(&written), path);
    let (mistakes, mut warnings) = reader.finish();
    match config {
        Some(config) if mistakes.is_empty() => {
            warnings.sort_by_key(|warning| warning.place);
            Ok(Config { presets, warnings, ..config })
        }
        _ => Err(Mistakes::sorted(mistakes)),
    }
}

/// A mistake that keeps the file from being read any further.
fn unfit(text: &str, path: &Path, place: (usize, usize), kind: MistakeKind) -> Mistake {
    let line = text.lines().nth(place.0 - 1).unwrap_or("");
    let hint = match kind {
        MistakeKind::Syntax(_) | MistakeKind::Alias if line.chars().nth(place.1 - 1) == Some('*') => {
            Some("a text that begins with a star must stand in quotes")
        }
        MistakeKind::Syntax(_) if line.contains("${") => {
            Some("within braces or brackets, ${NAME} must stand in quotes")
        }
        _ => None,
    };
    Mistake { place, hint: hint.map(str::to_owned), ..Mistake::of_file(path, kind) }
}

/// At most one byte more than is taken.
fn open(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST_FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
