//! `nri seccomp`: seccomp policies and what becomes of them.

mod compare;
mod compile;
mod input;
mod listen;
mod options;
mod verify;

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
    Compile(compile::Args),
    Listen(listen::Args),
    Verify(verify::Args),
}

pub(crate) fn main(args: &Args) -> ExitCode {
    match &args.command {
        Command::Compare(args) => compare::main(args),
        Command::Compile(args) => compile::main(args),
        Command::Listen(args) => listen::main(args),
        Command::Verify(args) => verify::main(args),
    }
}
