//! `tollgate import`.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::Failure;
use crate::base::Secret;
use crate::import::{self, Options};

/// Make a `gateway.yaml` of another program's settings.
#[derive(Debug, Subcommand)]
pub(super) enum Import {
    /// Make a `gateway.yaml` of the settings file of a site that uses djangorestframework-simplejwt.
    ///
    /// The file is read, never executed. What was not carried over, with its line, goes to standard error and into
    /// comments at the head of the result. Secrets do not get into the result: with --output they are written to
    /// files beside it that only their owner can read, otherwise the result names variables to be set.
    #[command(
        name = "simplejwt",
        after_help = "Exits with 0, also with remarks unless there is --strict (then 1), and with 2 if the settings \
                      can't be read.\n\nExample:\n  tollgate import simplejwt mysite/settings.py --output gateway.yaml \
                      --upstream http://127.0.0.1:8000"
    )]
    SimpleJwt(SimpleJwt),
}

#[derive(Debug, Args)]
pub(super) struct SimpleJwt {
    /// The site's settings file.
    settings: PathBuf,
    /// Where to write the result, instead of standard output. Nothing that is there is replaced.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Where the application is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000")]
    upstream: String,
    /// Exit with 1 if anything was not carried over or needs a look.
    #[arg(long)]
    strict: bool,
}

impl Import {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self::SimpleJwt(arguments) = self;
        arguments.run()
    }
}

impl SimpleJwt {
    #[expect(clippy::print_stderr, clippy::print_stdout, reason = "the command line's own output")]
    fn run(self) -> Result<(), Failure> {
        let shown = self.settings.display();
        let unreadable = |error: &dyn std::fmt::Display| Failure::Usage(format!("{shown}: {error}"));
        let source = read(&self.settings).map_err(|error| unreadable(&error))?;
        let settings = fs::canonicalize(&self.settings).map_err(|error| unreadable(&error))?;
        let options =
            Options { upstream: &self.upstream, settings: &settings, secret_files: self.output.is_some() };
        let imported = import::simplejwt(&source, &options).map_err(|error| unreadable(&error))?;
        match &self.output {
            Some(output) => write_all(output, &imported)?,
            None => print!("{}", imported.yaml),
        }
        for remark in &imported.remarks {
            eprintln!("{shown}: {remark}");
        }
        if let Some(output) = &self.output {
            println!("wrote {}", output.display());
        }
        match imported.remarks.len() {
            0 => Ok(()),
            _ if !self.strict => Ok(()),
            count => Err(Failure::Other(format!("{count} remarks, and --strict was given"))),
        }
    }
}

/// One byte more than is taken, so that a longer file is noticed and not read whole.
fn read(path: &Path) -> io::Result<String> {
    let mut source = String::new();
    let limit = u64::try_from(import::LARGEST_SOURCE).unwrap_or(u64::MAX).saturating_add(1);
    let file = fs::File::open(path)?;
    io::Read::read_to_string(&mut io::Read::take(file, limit), &mut source)?;
    Ok(source)
}

fn write_all(output: &Path, imported: &import::Imported) -> Result<(), Failure> {
    let folder = output.parent().unwrap_or(Path::new(""));
    let secrets: Vec<(PathBuf, &Secret)> =
        imported.secrets.iter().map(|(path, secret)| (folder.join(path), secret)).collect();
    // All or nothing, as far as that can be known before.
    for path in secrets.iter().map(|(path, _)| path.as_path()).chain([output]) {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::Usage(format!("{} is there already; nothing was written", path.display())));
        }
    }
    for (path, secret) in &secrets {
        if let Some(parent) = path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
            made.map_err(|error| Failure::Other(format!("{}: {error}", parent.display())))?;
        }
        write_new(path, secret.expose(), 0o600)?;
    }
    write_new(output, imported.yaml.as_bytes(), 0o644)
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(content));
    written.map_err(|error| Failure::Other(format!("{}: {error}", path.display())))
}
