//! `cargo xtask test`: everything that CI runs, in the order in which a failure costs least, and one closing line.

use std::process::Command;
use std::time::Instant;

use crate::{Failure, process, setup, tidy};

/// What all steps together came to.
#[derive(Default)]
struct Tally {
    passed: u32,
    failed: u32,
    skipped: Vec<String>,
}

/// One step: a name and what it adds to the tally.
type Step = (&'static str, fn(&mut Tally) -> Result<(), Failure>);

/// The engines that the tests run against, and the variables in which they look for them.
const ENGINES: [(&str, &str); 2] =
    [("NRI_TEST_CONTAINERD", setup::CONTAINERD), ("NRI_TEST_CONTAINERD_22", setup::CONTAINERD_22)];

const STEPS: &[Step] = &[
    ("format", |t| check(t, &mut process::cargo(&["fmt", "--all", "--check"]))),
    ("tidy", |t| counted(t, tidy::run())),
    ("generated files are fresh", |t| {
        check(t, &mut process::cargo(&["run", "-q", "-p", "nri-gen", "--", "--check"]))
    }),
    ("packages", |t| counted(t, setup::packages_for_tests())),
    ("seccomp profiles", |t| counted(t, setup::seccomp_profiles())),
    ("clippy", |t| {
        check(
            t,
            &mut process::cargo(&["clippy", "-q", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        )
    }),
    ("crates alone, without features", |t| {
        check(t, &mut process::cargo(&["check", "-q", "-p", "nri-wire", "--no-default-features"]))?;
        check(t, &mut process::cargo(&["check", "-q", "-p", "nri-plugin"]))
    }),
    ("nri with libseccomp", |t| {
        if !std::path::Path::new("/usr/include/seccomp.h").exists() {
            t.skipped.push("skipped: nri seccomp compile; install libseccomp-dev".to_owned());
            return Ok(());
        }
        tests(t, &mut process::cargo(&["test", "-q", "-p", "nri", "--features", "libseccomp", "compile"]))
    }),
    ("documentation", |t| {
        let mut command = process::cargo(&["doc", "-q", "--workspace", "--no-deps"]);
        check(t, command.env("RUSTDOCFLAGS", "-D warnings"))
    }),
    ("Go module", go),
    ("containerd", |t| {
        ENGINES.iter().try_for_each(|(_, version)| counted(t, setup::containerd(version).map(drop)))
    }),
    ("tests", |t| {
        let mut command = process::cargo(&["test", "--workspace", "--no-fail-fast", "--", "--show-output"]);
        for (variable, version) in ENGINES {
            if let Ok(folder) = setup::containerd(version) {
                command.env(variable, folder);
            }
        }
        tests(t, &mut command)
    }),
    ("demo", |t| check(t, &mut process::cargo(&["run", "-q", "-p", "xtask", "--", "demo", "--yes"]))),
    ("cargo deny", |t| {
        let program = setup::cargo_deny()?;
        let mut command = Command::new(program);
        command.args(["--workspace", "--all-features", "check", "bans", "licenses", "sources"]);
        check(t, command.current_dir(crate::root()))
    }),
];

/// Runs every step, also after a failed one, and fails if any failed, or, in CI, if anything was skipped.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let only = args.first().map(String::as_str);
    let mut tally = Tally::default();
    for (name, step) in STEPS.iter().filter(|(name, _)| only.is_none_or(|only| name.contains(only))) {
        let start = Instant::now();
        println!("== {name}");
        if let Err(failure) = step(&mut tally) {
            tally.failed += 1;
            println!("{failure}");
            println!("== {name}: FAILED");
        }
        println!("== {name}: {} s", start.elapsed().as_secs());
    }
    for line in &tally.skipped {
        println!("{line}");
    }
    let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    println!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped.len());
    if tally.failed > 0 {
        Err(format!("{} of the steps and tests failed", tally.failed))
    } else if in_ci && !tally.skipped.is_empty() {
        Err("CI must not skip anything".to_owned())
    } else {
        Ok(())
    }
}

/// A check that passes or fails as a whole.
fn check(tally: &mut Tally, command: &mut Command) -> Result<(), Failure> {
    match process::capture(command)? {
        (_, true) => counted(tally, Ok(())),
        (text, false) => Err(text),
    }
}

fn counted(tally: &mut Tally, result: Result<(), Failure>) -> Result<(), Failure> {
    result.inspect(|()| tally.passed += 1)
}

/// `cargo test`: its own counts are taken over, and the lines in which tests say that they were skipped.
fn tests(tally: &mut Tally, command: &mut Command) -> Result<(), Failure> {
    let (text, success) = process::capture(command)?;
    for line in text.lines() {
        if let Some(counts) = line.strip_prefix("test result: ") {
            let count = |what: &str| {
                counts
                    .split(['.', ';'])
                    .find_map(|part| part.trim().strip_suffix(what))
                    .and_then(|number| number.trim().parse::<u32>().ok())
                    .unwrap_or(0)
            };
            tally.passed += count("passed");
            tally.failed += count("failed");
        } else if line.starts_with("skipped: ") {
            tally.skipped.push(line.to_owned());
        }
    }
    if success { Ok(()) } else { Err(text) }
}

fn go(tally: &mut Tally) -> Result<(), Failure> {
    for module in ["tests/go", "tests/go-cri"] {
        let folder = crate::root().join(module);
        if !folder.join("go.mod").is_file() {
            continue;
        }
        if !process::exists("go") {
            tally.skipped.push(format!("skipped: {module}; install Go 1.26"));
            continue;
        }
        let (unformatted, _) =
            process::capture(process::program("gofmt", &["-l", "."]).current_dir(&folder))?;
        if !unformatted.is_empty() {
            return Err(format!("gofmt would change in {module}:\n{unformatted}"));
        }
        check(tally, process::program("go", &["mod", "verify"]).current_dir(&folder))?;
        check(tally, process::program("go", &["vet", "./..."]).current_dir(&folder))?;
    }
    Ok(())
}
