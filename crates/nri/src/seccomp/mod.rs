//! `nri seccomp`: seccomp policies and what becomes of them.

mod compare;
mod compile;
mod diff;
mod evidence;
mod input;
mod listen;
mod merge;
mod options;
mod paragraph;
mod show;
mod target;
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
    Show(show::Args),
    Compare(compare::Args),
    Diff(diff::Args),
    Merge(merge::Args),
    Compile(compile::Args),
    Verify(verify::Args),
    Listen(listen::Args),
}

pub(crate) fn main(args: &Args) -> ExitCode {
    match &args.command {
        Command::Show(args) => show::main(args),
        Command::Compare(args) => compare::main(args),
        Command::Diff(args) => diff::main(args),
        Command::Merge(args) => merge::main(args),
        Command::Compile(args) => compile::main(args),
        Command::Verify(args) => verify::main(args),
        Command::Listen(args) => listen::main(args),
    }
}
