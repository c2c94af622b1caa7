//! `nri replay`: what becomes of recorded requests, without plugins and without an engine (`cli.md`, "nri replay").
//!
//! | module | what it holds |
//! | --- | --- |
//! | `line` | a line of a recording as a request with its answers |
//! | `hidden` | values that a recording keeps to itself |
//! | `request` | one request on its way: judge, merge, validators, OCI spec |
//! | `work` | many lines at once, their decisions in order |

mod hidden;
mod line;
mod request;
#[cfg(test)]
mod tests;
mod work;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;

pub(crate) use self::request::Wish;
use crate::failure::Failure;
use crate::policy::lock::{Flags, InForce};

/// How much is read at once, in bytes: lines that are there already are worked on together.
const BUFFER: usize = 1024 * 1024;

/// Show what becomes of recorded requests
///
/// Reads one recorded request a line (of `nri run --record`, `nri gateway --record`, or written by hand) and writes one
/// decision a line, in the same order. No process is started. Exit code: 0 no request was rejected or failed, 1 one was,
/// 2 bad usage or an unreadable file.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nri replay --policy 10-node.yaml recording.jsonl\n  nri replay --policy new.yaml --against /etc/nri/policy.d recording.jsonl | jq '{id, refused}'\n  nri replay - <recording.jsonl | jq .outcome"
)]
pub(crate) struct Args {
    /// Recording; `-`: stdin
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// How many lines are worked on at once [default: one for each processor]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Print only the decisions that differ under this policy, with its decision as `against`
    #[arg(long, value_name = "FILE|DIR", help_heading = "Policy")]
    against: Vec<PathBuf>,
    #[command(flatten)]
    policy: Flags,
}

/// The decision about one request, as JSON.
pub(crate) fn decision(line: &[u8], policies: &InForce) -> Value {
    work::json(&request::decide(1, line, policies.judge()))
}

/// What the plugins of one recorded request ask for, whatever becomes of it. `number`: which line, from 1. The judge of
/// these policies must record.
///
/// # Errors
/// It is no such request.
pub(crate) fn wishes(number: usize, line: &[u8], policies: &InForce) -> Result<Vec<Wish>, Failure> {
    request::wishes(number, line, policies.judge()).map_err(Failure::usage)
}

/// Looks at each line of a recording that is not blank.
///
/// # Errors
/// It cannot be read; or what `look` fails of.
pub(crate) fn lines(
    file: &Path,
    mut look: impl FnMut(usize, &[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut input = BufReader::with_capacity(BUFFER, open(file)?);
    let mut number = 0;
    loop {
        let batch = work::batch(&mut input, &mut number)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
        if batch.is_empty() {
            return Ok(());
        }
        batch.iter().try_for_each(|(number, line)| look(*number, line))?;
    }
}

/// Runs the command.
pub(crate) fn main(args: &Args) -> ExitCode {
    match run(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => failure.end(),
    }
}

/// Whether no decision is a rejection or failure.
fn run(args: &Args) -> Result<bool, Failure> {
    let jobs = args.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let input = BufReader::with_capacity(BUFFER, open(&args.file)?);
    let missing = args.policy.on_missing_policy;
    let policies = InForce::named(&args.policy.policy, missing, false)?;
    let other = match args.against.as_slice() {
        [] => None,
        paths => Some(InForce::named(paths, missing, false)?),
    };
    let decide = |number: usize, line: &[u8]| {
        let decision = request::decide(number, line, policies.judge());
        let other = other.as_ref().map(|other| request::decide(number, line, other.judge()));
        work::Decided::new(&decision, other.as_ref())
    };
    let done = work::lines(input, &mut io::stdout().lock(), jobs, decide)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", args.file.display())))?;
    tracing::info!("{} decisions, {} of them rejected or failed", done.lines, done.negative);
    Ok(done.negative == 0)
}

fn open(file: &Path) -> Result<Box<dyn Read>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let unreadable = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("cannot read the recording {}: {error}", file.display()))
    };
    let opened = File::open(file).map_err(|error| unreadable(&error))?;
    if opened.metadata().is_ok_and(|data| data.is_dir()) {
        return Err(unreadable(&"it is a directory"));
    }
    Ok(Box::new(opened))
}
