//! The `nri` command: one small table of commands; each command is a module of its own.

mod failure;
#[cfg(test)]
mod json;
mod log;
mod run;
mod seccomp;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::failure::Failure;

/// Short-lived commands allocate little; the long-running ones gain most from it (design.md 10).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// NRI on the command line: run containers through plugins, try plugins out, be a plugin.
#[derive(Parser)]
#[command(name = "nri", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = "Example:\n  nri run --plugin ./my-plugin -- sh -c 'echo hello from a container'")]
struct Cli {
    #[command(flatten)]
    log: log::Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Run(run::Args),
    Seccomp(seccomp::Args),
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &arguments),
    };
    log::start(&cli.log);
    match cli.command {
        Command::Run(args) => run::main(&args),
        Command::Seccomp(args) => seccomp::main(&args),
    }
}

/// Prints what clap found. Help and version are answers, not failures; `nri run` has its own exit code.
fn usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    // A closed stdout leaves nobody to tell.
    drop(error.print());
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let command = arguments.iter().skip(1).find(|argument| !argument.as_encoded_bytes().starts_with(b"-"));
    let own = command.is_some_and(|command| command == "run");
    ExitCode::from(if own { run::OWN_FAILURE } else { Failure::USAGE })
}
