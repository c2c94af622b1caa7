//! `nri seccomp`: seccomp policies and what becomes of them.

mod compare;
mod input;
mod listen;
mod options;

use std::process::ExitCode;

/// Seccomp policies and listeners
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Compare(compare::Args),
    Listen(listen::Args),
}

pub(crate) fn main(args: &Args) -> ExitCode {
    match &args.command {
        Command::Compare(args) => compare::main(args),
        Command::Listen(args) => listen::main(args),
    }
}
