//! `cargo xtask`: everything the repository does to itself. `cargo xtask help` lists the tasks.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `test` | all that CI runs, step by step, and the closing line |
//! | `tidy` | rules that no lint knows: layers, sizes, words |
//! | `setup` | what a fresh machine lacks: packages, engines, tools |
//! | `demo` | the main job on real containers |
//! | `bench` | the figures of SPECIFICATION.md |
//! | `engines` | what real engines make of a plugin behind the gateway |
//! | `process` | running commands with a deadline for patience |

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command that reports to people")]

mod bench;
mod demo;
mod engines;
mod process;
mod setup;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What ends a task: a sentence for people that says what to do next.
type Failure = String;

/// Pods of the nightly churn test.
const NIGHTLY_PODS: &str = "500";

/// How long the oracles of seccomp run at night, and how much more than in CI a round of theirs tries.
const NIGHTLY_ORACLES: Duration = Duration::from_secs(3600);
const NIGHTLY_FACTOR: &str = "5";

const HELP: &str = "\
cargo xtask TASK

  demo      the main job on real containers (--yes: do not ask)
  test      everything that CI runs; installs what a fresh machine lacks
  setup     install what the tests need and a fresh machine lacks (test does it, too)
  gen       write the generated files of crates/wire and crates/seccomp (--check: only compare)
  tidy      check the rules that no lint knows
  nightly   what takes too long for CI: the churn test with 500 pods, the seccomp oracles for an hour, then fuzzing
            with a nightly toolchain (seconds a target, 300; 0: no fuzzing); nightly oracles [seconds]: only these
  bench     bench wire, bench gateway: measure against the Go reference and a floor; bench seccomp: against z3;
            bench policy: what judging and loading take
  engines   a plugin behind the gateway on real engines: containerd; --all: CRI-O and Docker, too
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let result = match args.first().map(String::as_str) {
        Some("test") => test::run(rest),
        Some("gen") => generate(rest),
        Some("setup") => setup::packages_for_tests().and_then(|()| setup::seccomp_profiles()),
        Some("tidy") => tidy::run(),
        Some("demo") => demo::run(rest),
        Some("nightly") => nightly(rest),
        Some("bench") => bench::run(rest),
        Some("engines") => engines::run(rest),
        None | Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => Err(format!("no task {other:?}\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn generate(args: &[String]) -> Result<(), Failure> {
    let mut command = process::cargo(&["run", "--quiet", "--package", "nri-gen", "--"]);
    command.args(args);
    process::run(&mut command)
}

/// What takes too long for CI: the churn test with many pods, the oracles of seccomp, and each target of `fuzz/` under
/// cargo-fuzz for a while.
/// CI runs the same functions on stable, over their corpus.
fn nightly(args: &[String]) -> Result<(), Failure> {
    let number = |text: &String| text.parse().map_err(|_| format!("{text:?} is no number of seconds"));
    if args.first().is_some_and(|word| word == "oracles") {
        let long = args.get(1).map(number).transpose()?;
        return oracles(long.map_or(NIGHTLY_ORACLES, |seconds: u32| Duration::from_secs(seconds.into())));
    }
    let seconds: u32 = args.first().map(number).transpose()?.unwrap_or(300);
    churn()?;
    oracles(NIGHTLY_ORACLES)?;
    if seconds == 0 { Ok(()) } else { fuzz(seconds) }
}

/// Pods that come and go while plugins and the gateway do the same (`tests/tests/churn`).
fn churn() -> Result<(), Failure> {
    setup::packages_for_tests()?;
    println!("== churn, {NIGHTLY_PODS} pods");
    let mut command =
        process::cargo(&["test", "-q", "-p", "nri-tests", "--test", "churn", "--", "--nocapture"]);
    command
        .env("NRI_TEST_CONTAINERD", setup::containerd(setup::CONTAINERD)?)
        .env("NRI_CHURN_PODS", NIGHTLY_PODS);
    process::run(&mut command)
}

/// The oracles of seccomp (`tests/tests/seccomp_oracle`), with other random policies each round.
fn oracles(long: Duration) -> Result<(), Failure> {
    setup::packages_for_tests()?;
    setup::seccomp_profiles()?;
    let start = Instant::now();
    for seed in 1.. {
        println!("== seccomp oracles, seed {seed}, {} s of {} s", start.elapsed().as_secs(), long.as_secs());
        let mut command = process::cargo(&["test", "--release", "-q", "-p", "nri-tests", "--test"]);
        command.args(["seccomp_oracle", "--", "--nocapture"]);
        command.env("NRI_ORACLE_SEED", seed.to_string()).env("NRI_ORACLE_FACTOR", NIGHTLY_FACTOR);
        process::run(&mut command)?;
        if start.elapsed() >= long {
            break;
        }
    }
    Ok(())
}

fn fuzz(seconds: u32) -> Result<(), Failure> {
    let folder = root().join("fuzz/fuzz_targets");
    let targets = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> = targets
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    for name in names {
        println!("== {name}, {seconds} s");
        let limit = format!("-max_total_time={seconds}");
        let mut command = process::program("cargo", &["+nightly", "fuzz", "run", &name, "--", &limit]);
        process::run(&mut command).map_err(|failure| {
            format!("{failure}; it needs `rustup toolchain install nightly` and `cargo install cargo-fuzz`")
        })?;
    }
    Ok(())
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
