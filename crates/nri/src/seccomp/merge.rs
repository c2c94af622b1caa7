//! `nri seccomp merge`: the policy that allows what two policies both allow (`spec/seccomp.md` 7.2).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nri_seccomp::merge::{Failure as Unmerged, Mode, Side, merge};
use nri_seccomp::policy::Policy;
use nri_seccomp::settings::Host;
use serde_json::Value;

use super::{input, target};
use crate::failure::{Failure, Kind};

/// Print the seccomp policy that answers each call as the stricter of two policies does
///
/// A and B are files with an OCI seccomp policy or `null` for none, with a whole config.json, or with a profile of
/// Docker's or Podman's form; `-` is stdin. Exit code: 0 with the policy, 1 where one of them is invalid or does not
/// mean one thing, 2 bad input, 3 where no policy says exactly what both allow.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nri seccomp merge default.json tenant.json > merged.json\n  nri seccomp merge a.json b.json --approximate"
)]
pub(crate) struct Args {
    /// One policy; where both refuse, the error number is this one's
    a: PathBuf,
    /// The other
    b: PathBuf,
    /// Where the result cannot be said exactly, say something stricter
    #[arg(long)]
    approximate: bool,
    #[command(flatten)]
    target: target::Options,
}

/// Runs the command.
pub(crate) fn main(args: &Args) -> ExitCode {
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.end(),
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    if input::is_stdin(&args.a) && input::is_stdin(&args.b) {
        return Err(Failure::usage("only one of A and B can be stdin"));
    }
    let host = Host::this();
    let target = args.target.target(host.native());
    // Both are read before either is answered about: bad input comes first.
    let (a, b) = (input::read(&args.a, &target)?, input::read(&args.b, &target)?);
    let a = a.map_err(|invalid| failed(args, &Unmerged::Invalid { side: Side::A, invalid }))?;
    let b = b.map_err(|invalid| failed(args, &Unmerged::Invalid { side: Side::B, invalid }))?;
    let mode = if args.approximate { Mode::Approximate } else { Mode::Exact };
    let merged = merge(a.as_ref(), b.as_ref(), &host, mode).map_err(|unmerged| failed(args, &unmerged))?;
    for unsayable in &merged.stricter {
        crate::log::say(format_args!("warning: stricter than needed: {unsayable}"));
    }
    let json = merged.policy.as_ref().map_or(Value::Null, Policy::to_json);
    writeln!(std::io::stdout(), "{json:#}")
        .map_err(|error| Failure::unavailable(format!("cannot write the policy: {error}")))
}

/// The failure with its exit code and the names of the files.
fn failed(args: &Args, unmerged: &Unmerged) -> Failure {
    let file = |side: &Side| {
        let file: &Path = match side {
            Side::A => &args.a,
            Side::B => &args.b,
        };
        input::name(file)
    };
    match unmerged {
        Unmerged::Invalid { side, invalid } => {
            Failure::new(Kind::Rejected, format!("{}: {invalid}", file(side)))
        }
        Unmerged::Open { side, .. } => Failure::new(Kind::Rejected, format!("{}: {unmerged}", file(side))),
        Unmerged::Unsayable(_) => {
            let help = "simplify these conditions, or use --approximate";
            Failure::unavailable(format!("{unmerged}; {help}"))
        }
    }
}
