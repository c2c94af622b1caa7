//! `nri seccomp show`: what a policy says, for people.

mod json;
mod text;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use nri_seccomp::lint::{Lint, lints};
use nri_seccomp::model::{Model, Reading};
use nri_seccomp::outline::Outline;
use nri_seccomp::policy::Policy;
use nri_seccomp::settings::{Host, Settings};
use nri_seccomp::term::Arch;

use super::target::{self, Options};
use super::{input, options};
use crate::failure::Failure;
use crate::output::Output;

/// Show what a seccomp policy says, sorted by what happens
///
/// FILE is an OCI seccomp policy, a whole config.json, or a profile of Docker's or Podman's form; `-` is stdin. Conditions are
/// shown with the names of arguments and constants where they are known, and what is easily overlooked is pointed out.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nri seccomp show /usr/share/containers/seccomp.json --cap SYS_ADMIN\n  nri seccomp show config.json --arch x86"
)]
pub(crate) struct Args {
    /// The file with the policy
    file: PathBuf,
    /// The ABI whose calls are shown; default: this machine's
    #[arg(long, value_name = "ARCH", value_parser = options::arch)]
    arch: Option<Arch>,
    /// Form of the output
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
    #[command(flatten)]
    target: Options,
}

/// Runs the command.
pub(crate) fn main(args: &Args) -> ExitCode {
    match show(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.end(),
    }
}

fn show(args: &Args) -> Result<(), Failure> {
    let host = args.arch.map_or_else(Host::this, target::host);
    let arch = args.arch.unwrap_or(host.native());
    let name = input::name(&args.file);
    let text = match input::read_valid(&args.file, &args.target.target(host.native()))? {
        None => match args.output {
            Output::Text => "no policy: every call is allowed, on every ABI\n".to_owned(),
            Output::Json => "null\n".to_owned(),
        },
        Some(policy) => {
            let settings = Settings::default();
            let model = Model::new(Some(&policy), &host, &settings, Reading::All)
                .map_err(|invalid| Failure::usage(format!("{name}: {invalid}")))?;
            let lints = lints(&policy, &host, &settings)
                .map_err(|invalid| Failure::usage(format!("{name}: {invalid}")))?;
            let outline = Outline::new(&policy, &model, arch);
            let shown = Shown { outline, policy: &policy, model: &model, lints };
            match args.output {
                Output::Text => text::text(&shown),
                Output::Json => format!("{}\n", json::json(&shown)),
            }
        }
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::unavailable(format!("cannot write to stdout: {error}")))
}

/// A policy with what it comes to.
struct Shown<'p> {
    policy: &'p Policy,
    model: &'p Model<'p>,
    outline: Outline<'p>,
    /// What is easily overlooked.
    lints: Vec<Lint>,
}

#[cfg(test)]
mod tests;
