//! The command line: reads arguments, calls the rest, prints. What a command does is decided below.

mod check;
mod import;
mod key;
mod password;
mod revoke;
mod run;
mod token;
mod user;
mod user_attributes;
mod user_sessions;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::base::with_causes;
use crate::config::{self, Config, Issuer};
use crate::store::{self, Missing, Store, Unanswered, User};

/// Enforces JSON Web Tokens in front of existing applications, and can issue them.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Without a command it runs the gateway. Exit codes: 0 done, 1 failed, 2 the file or the arguments \
                  are wrong.\n\nExample:\n  tollgate --config /etc/tollgate/gateway.yaml"
)]
struct Arguments {
    /// The gateway's file.
    #[arg(long, short, global = true, value_name = "FILE", default_value = "gateway.yaml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or Ctrl-C.
    #[command(after_help = "Example:\n  tollgate run --config /etc/tollgate/gateway.yaml")]
    Run,
    /// Read the file and name every mistake in it, without starting anything.
    #[command(
        after_help = "Exits with 2 if the file can't be used.\n\nExample:\n  tollgate check gateway.yaml"
    )]
    Check(check::Check),
    /// Add users of the gateway's own and set their passwords.
    #[command(subcommand, after_help = "Example:\n  tollgate user add ada")]
    User(user::User),
    /// Make tokens and look into them.
    #[command(subcommand, after_help = "Example:\n  tollgate token mint --user ada | tollgate token inspect")]
    Token(token::Token),
    /// Make a `gateway.yaml` of another program's settings.
    #[command(
        subcommand,
        after_help = "Example:\n  tollgate import simplejwt mysite/settings.py --output gateway.yaml"
    )]
    Import(import::Import),
    /// Make signing keys.
    #[command(subcommand, after_help = "Example:\n  tollgate key generate")]
    Key(key::Key),
}

/// What went wrong with a command, as its exit code tells scripts.
#[derive(Debug)]
enum Failure {
    /// The file or the arguments are at fault: 2.
    Usage(String),
    /// Anything else: 1.
    Other(String),
}

impl Failure {
    /// An error with all that led to it.
    fn of(error: &dyn std::error::Error) -> Self {
        Self::Other(with_causes(error))
    }
}

/// Does what the arguments ask for.
#[must_use]
#[expect(clippy::print_stderr, reason = "the command line's own output")]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let file = &arguments.config;
    let outcome = match arguments.command.unwrap_or(Command::Run) {
        Command::Run => run::run(file),
        Command::Check(check) => check.run(file),
        Command::User(user) => user.run(file),
        Command::Token(token) => token.run(file),
        Command::Key(key) => key.run(file),
        Command::Import(import) => import.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
        Err(Failure::Other(message)) => {
            eprintln!("tollgate: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the file with the process's own environment.
fn read(file: &Path) -> Result<Config, Failure> {
    config::read(file, &|name| std::env::var(name).ok())
        .map_err(|mistakes| Failure::Usage(mistakes.to_string()))
}

/// The issuer of the file; commands about users, tokens and keys need one.
fn issuer<'c>(config: &'c Config, file: &Path) -> Result<&'c Issuer, Failure> {
    config.issuer.as_ref().ok_or_else(|| {
        Failure::Usage(format!("{} has no `issuer:` section, so Tollgate issues no tokens", file.display()))
    })
}

/// The issuer's store, for a command: it has nothing to wait for.
async fn open_store(issuer: &Issuer, missing: Missing) -> Result<Arc<dyn Store>, Failure> {
    let store = store::open_store(&issuer.store, missing, Unanswered::Refuse).await;
    store.map_err(|error| Failure::of(&error))
}

/// The user of this name, among the gateway's own.
async fn find_user(store: &dyn Store, name: &str) -> Result<User, Failure> {
    let user = store.user_by_name(name).await.map_err(|error| Failure::of(&error))?;
    user.ok_or_else(|| no_user(name))
}

fn no_user(name: &str) -> Failure {
    Failure::Other(format!("there is no user {name:?}: `tollgate user list` names all"))
}

/// A runtime for the commands that open a database.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::of(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_has_help_with_an_example() {
        fn visit(command: &clap::Command) {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Example"), "{}: {help}", command.get_name());
            assert!(command.get_about().is_some(), "{}", command.get_name());
            command.get_subcommands().filter(|command| command.get_name() != "help").for_each(visit);
        }
        Arguments::command().debug_assert();
        visit(&Arguments::command());
    }

    #[test]
    fn no_command_takes_a_password_as_an_argument() {
        fn visit(command: &clap::Command) {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                let takes_value = argument.get_action().takes_values();
                assert!(!name.contains("password") || !takes_value, "{}: {name}", command.get_name());
            }
            command.get_subcommands().for_each(visit);
        }
        visit(&Arguments::command());
    }
}
