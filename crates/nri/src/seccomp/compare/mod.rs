//! `nri seccomp compare`: is a policy at least as restrictive as another (`spec/seccomp.md` 7.1)?

mod answer;
mod batch;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nri_seccomp::compare::warnings;
use nri_seccomp::policy::Policy;

use self::answer::Answer;
use super::options::Options;
use super::{input, target};
use crate::failure::Failure;
use crate::output::Output;

/// Tell whether a seccomp policy only confines more than another
///
/// OLD and NEW are files with an OCI seccomp policy or `null` for none, with a whole config.json, or with a profile of
/// Docker's or Podman's form; `-` is stdin. A "no" comes with a call that the new policy answers more loosely. Exit code: 0 at
/// least as restrictive, 1 not, or not provably, 2 bad input.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nri seccomp compare old.json new.json\n  nri seccomp compare old.json new.json -o json --errno exact\n  nri seccomp compare --batch pairs.jsonl"
)]
pub(crate) struct Args {
    /// The policy that is replaced
    #[arg(required_unless_present = "batch")]
    old: Option<PathBuf>,
    /// The policy that replaces it
    #[arg(required_unless_present = "batch")]
    new: Option<PathBuf>,
    /// Answer a file (`-`: stdin) of pairs, one JSON object a line, with one such line each
    #[arg(long, value_name = "FILE", conflicts_with_all = ["old", "new"])]
    batch: Option<PathBuf>,
    /// Form of the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
    #[command(flatten)]
    target: target::Options,
    #[command(flatten)]
    options: Options,
}

/// Runs the command.
pub(crate) fn main(args: &Args) -> ExitCode {
    let result = match &args.batch {
        Some(file) => batch::run(file, &args.options),
        None => one(args),
    };
    result.unwrap_or_else(|failure| failure.end())
}

fn one(args: &Args) -> Result<ExitCode, Failure> {
    let (Some(old), Some(new)) = (&args.old, &args.new) else {
        return Err(Failure::usage("OLD and NEW are expected, or --batch"));
    };
    if input::is_stdin(old) && input::is_stdin(new) {
        return Err(Failure::usage("only one of OLD and NEW can be stdin"));
    }
    let Options { settings, host } = &args.options;
    let target = args.target.target(host.native());
    let (old, new) = (input::read(old, &target)?, input::read(new, &target)?);
    for (file, policy) in [(&args.old, &old), (&args.new, &new)] {
        if let (Some(file), Ok(Some(policy))) = (file, policy) {
            warn(file, policy, &args.options);
        }
    }
    let answer = Answer::of(&old, &new, host, settings);
    let text = match args.output {
        Output::Text => answer.text(),
        Output::Json => answer.json(None).to_string(),
    };
    writeln!(std::io::stdout(), "{text}")
        .map_err(|error| Failure::unavailable(format!("cannot write the answer: {error}")))?;
    Ok(answer.exit_code())
}

/// Says what may happen to a runtime that loads a policy.
fn warn(file: &Path, policy: &Policy, options: &Options) {
    for warning in warnings(policy, &options.host, &options.settings) {
        tracing::warn!("{}: {warning}", input::name(file));
    }
}
