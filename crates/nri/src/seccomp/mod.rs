//! `nri seccomp`: seccomp policies and what becomes of them.

mod listen;

use std::process::ExitCode;

/// Seccomp policies and listeners
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Listen(listen::Args),
}

pub(crate) fn main(args: &Args) -> ExitCode {
    match &args.command {
        Command::Listen(args) => listen::main(args),
    }
}
