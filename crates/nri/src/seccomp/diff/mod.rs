//! `nri seccomp diff`: what a policy changes against another, for people.

mod json;
mod text;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use nri_seccomp::compare::changes::Changes;
use nri_seccomp::compare::{Comparison, compare};
use nri_seccomp::policy::Policy;
use nri_seccomp::settings::Host;

use super::{input, options, target};
use crate::failure::Failure;
use crate::output::Output;

/// Show what a seccomp policy changes against another, and which changes loosen
///
/// Changes are sorted by direction: looser, tighter, or behaviour that only programs notice, such as another error number. For
/// dangerous system calls it says why they matter. Exit code: 0 no change, 1 some, 2 bad input. `nri seccomp compare` gives
/// the verdict alone.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nri seccomp diff old.json new.json\n  nri seccomp diff default.json config.json --cap SYS_ADMIN -o json"
)]
pub(crate) struct Args {
    /// The policy that is replaced; forms as for `nri seccomp show`
    old: PathBuf,
    /// The policy that replaces it
    new: PathBuf,
    /// Form of the output
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
    #[command(flatten)]
    target: target::Options,
    #[command(flatten)]
    options: options::Options,
}

/// Runs the command.
pub(crate) fn main(args: &Args) -> ExitCode {
    diff(args).unwrap_or_else(|failure| failure.end())
}

fn diff(args: &Args) -> Result<ExitCode, Failure> {
    if input::is_stdin(&args.old) && input::is_stdin(&args.new) {
        return Err(Failure::usage("only one of OLD and NEW can be stdin"));
    }
    let options::Options { settings, host } = &args.options;
    let target = args.target.target(host.native());
    let read = |file| input::read_valid(file, &target);
    let (old, new): (Option<Policy>, Option<Policy>) = (read(&args.old)?, read(&args.new)?);
    let changes = Changes::new(old.as_ref(), new.as_ref(), host, settings)
        .map_err(|invalid| Failure::usage(invalid.to_string()))?;
    let comparison = compare(old.as_ref(), new.as_ref(), host, settings);
    let code = if changes.list.is_empty() && comparison.relation.accepts() { 0 } else { 1 };
    let shown = Shown { files: [input::name(&args.old), input::name(&args.new)], changes, comparison, host };
    let text = match args.output {
        Output::Text => text::text(&shown),
        Output::Json => format!("{}\n", json::json(&shown)),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::unavailable(format!("cannot write to stdout: {error}")))?;
    Ok(ExitCode::from(code))
}

/// Two policies with all that differs.
struct Shown<'a> {
    files: [String; 2],
    changes: Changes,
    comparison: Comparison,
    host: &'a Host,
}

#[cfg(test)]
mod tests;
