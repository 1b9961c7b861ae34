//! The command line: reads arguments, calls the rest, prints.

mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Enforces JSON Web Tokens in front of existing applications, and can issue them.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Without a command it runs the gateway.\n\nExample:\n  tollgate --config gateway.yaml run"
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
}

/// What went wrong with a command, as its exit code tells scripts.
#[derive(Debug)]
enum Failure {
    /// The file is at fault: 2.
    File(String),
    /// Anything else: 1.
    Other(String),
}

/// Does what the arguments ask for.
#[must_use]
#[expect(clippy::print_stderr, reason = "the command line's own output")]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command.unwrap_or(Command::Run) {
        Command::Run => run::run(&arguments.config),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::File(message)) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
        Err(Failure::Other(message)) => {
            eprintln!("tollgate: {message}");
            ExitCode::FAILURE
        }
    }
}
