//! Other programs' settings, as a `gateway.yaml`.
//!
//! The settings are read, never executed: what only running them would tell is listed with its line instead of being
//! guessed. Secrets do not get into the file's text.

mod database;
mod python;
mod remarks;
mod secrets;
mod simplejwt;
mod yaml;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::base::Secret;

pub use python::{LARGEST_SOURCE, Unreadable, UnreadableKind};

/// What is made of a settings file.
#[derive(Debug)]
pub struct Imported {
    /// The text of a `gateway.yaml`, which names all remarks in comments at its head.
    pub yaml: String,
    /// Files to be written beside it, readable by their owner only: each path relative to the `gateway.yaml`.
    pub secrets: Vec<(PathBuf, Secret)>,
    /// What was not carried over or needs a look, in the order of the settings file.
    pub remarks: Vec<Remark>,
}

/// Something that was not carried over, or needs a look.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remark {
    /// The line in the settings file, from 1; 0 where it says nothing of the matter.
    pub line: u32,
    /// Which setting, e.g. `SIMPLE_JWT["TOKEN_OBTAIN_SERIALIZER"]`.
    pub setting: String,
    /// Why, and what to do.
    pub reason: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        write!(f, "{}: {}", self.setting, self.reason)
    }
}

/// What the caller knows besides the settings.
#[derive(Debug, Clone)]
pub struct Options<'o> {
    /// The application's URL, `http://HOST:PORT`.
    pub upstream: &'o str,
    /// Where the settings file is; absolute, so that paths made from `__file__` are.
    pub settings: &'o Path,
    /// Whether secrets may be put into files beside the `gateway.yaml`; otherwise it names variables to be set.
    pub secret_files: bool,
}

/// Makes a `gateway.yaml` of the settings of a site that uses djangorestframework-simplejwt.
///
/// # Errors
/// [`Unreadable`] for a text that is no Python, or too large or too deep.
pub fn simplejwt(source: &str, options: &Options<'_>) -> Result<Imported, Unreadable> {
    simplejwt::import(source, options)
}

#[cfg(test)]
mod tests;
