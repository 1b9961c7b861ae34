//! Secrets of the settings, which do not get into the file's text.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::remarks::Remarks;
use super::yaml::Yaml;
use crate::base::Secret;

/// Secrets on their way to where they are kept: files, or variables that the operator sets.
#[derive(Debug)]
pub(super) struct Secrets {
    files: bool,
    written: Vec<(PathBuf, Secret)>,
    /// Lines for a shell or a service manager.
    environment: String,
}

impl Secrets {
    /// With `files` each is written to one, beside the `gateway.yaml`.
    pub(super) fn new(files: bool) -> Self {
        Self { files, written: Vec::new(), environment: String::new() }
    }

    /// What the file names in a secret's place: a file, or a variable if there are no files.
    pub(super) fn file(
        &mut self,
        name: &str,
        secret: &str,
        line: u32,
        setting: &str,
        remarks: &mut Remarks,
    ) -> Yaml {
        if self.files {
            let path = format!("secrets/{name}");
            remarks.add(line, setting, format!("written to the file {path}, not into the gateway.yaml"));
            // Of which the reader cuts one newline.
            self.written.push((PathBuf::from(&path), Secret::new(format!("{secret}\n"))));
            return Yaml::with_variables(format!("file:{path}"));
        }
        let variable = name.replace('-', "_").to_uppercase();
        remarks.add(line, setting, format!("not printed: set the variable {variable} to it"));
        Yaml::with_variables(format!("${{{variable}}}"))
    }

    /// The variable that the file names within a text. Its value is written where a shell or service can read it.
    pub(super) fn variable(
        &mut self,
        name: &str,
        value: &Secret,
        line: u32,
        setting: &str,
        remarks: &mut Remarks,
    ) -> String {
        if self.files {
            // Only letters, digits, and signs that mean nothing within single quotes.
            let _ = writeln!(self.environment, "{name}='{}'", String::from_utf8_lossy(value.expose()));
            remarks.add(
                line,
                setting,
                format!("written to secrets/environment: set the variable {name} from there"),
            );
        } else {
            remarks.add(
                line,
                setting,
                format!("not printed: set the variable {name} to it, percent-encoded"),
            );
        }
        name.to_owned()
    }

    /// The files to be written.
    pub(super) fn finish(mut self) -> Vec<(PathBuf, Secret)> {
        if !self.environment.is_empty() {
            self.written.push((PathBuf::from("secrets/environment"), Secret::new(self.environment)));
        }
        self.written
    }
}
