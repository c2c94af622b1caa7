//! `cargo xtask bench wire`, `gateway`, `policy` and `seccomp`: build both sides as they are published, and print the figures of
//! SPECIFICATION.md.

use crate::{Failure, process, setup};

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    match args.first().map(String::as_str) {
        Some("wire") => wire(args.get(1..).unwrap_or_default()),
        Some("gateway") => gateway(args.get(1..).unwrap_or_default()),
        Some("policy") => policy(args.get(1..).unwrap_or_default()),
        Some("seccomp") => seccomp(args.get(1..).unwrap_or_default()),
        _ => Err("usage: cargo xtask bench wire|gateway|policy|seccomp [json]".to_owned()),
    }
}

fn gateway(args: &[String]) -> Result<(), Failure> {
    go_is_there()?;
    process::run(&mut process::cargo(&["build", "--release", "-q", "-p", "nri"]))?;
    process::run(&mut process::cargo(&["build", "--release", "-q", "-p", "nri-tests", "--bin", "bench"]))?;
    let folder = crate::target().join("release");
    let mut bench = std::process::Command::new(folder.join("bench"));
    bench.arg("gateway").arg(go_program(".", "go-bench")?).arg(folder.join("nri")).args(args);
    process::run(&mut bench)
}

fn policy(args: &[String]) -> Result<(), Failure> {
    process::run(&mut process::cargo(&["build", "--release", "-q", "-p", "nri-tests", "--bin", "bench"]))?;
    let mut bench = std::process::Command::new(crate::target().join("release/bench"));
    process::run(bench.arg("policy").args(args))
}

fn seccomp(args: &[String]) -> Result<(), Failure> {
    setup::packages_for_tests()?;
    setup::seccomp_profiles()?;
    let mut build = process::cargo(&["build", "--release", "-q", "-p", "nri-tests"]);
    process::run(build.args(["--bin", "bench", "--bin", "seccomp_compiler"]))?;
    let mut bench = std::process::Command::new(crate::target().join("release/bench"));
    process::run(bench.arg("seccomp").args(args))
}

fn go_is_there() -> Result<(), Failure> {
    if !process::exists("go") {
        return Err("the figures are ratios to the Go reference; install Go 1.26".to_owned());
    }
    eprintln!("building both sides");
    Ok(())
}

fn wire(args: &[String]) -> Result<(), Failure> {
    go_is_there()?;
    process::run(&mut process::cargo(&["build", "--release", "-q", "-p", "nri-tests", "--bin", "bench"]))?;
    // Static like the Go plugin that it is compared with: most of a dynamic one's resident pages are libc's.
    let triple = host_triple()?;
    let mut idle =
        process::cargo(&["build", "--release", "-q", "-p", "nri-plugin", "--example", "idle", "--target"]);
    process::run(idle.arg(&triple).env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    let (go, go_idle) = (go_program(".", "go-bench")?, go_program("./idle", "go-idle")?);
    let idle = crate::target().join(triple).join("release/examples/idle");
    let mut bench = std::process::Command::new(crate::target().join("release/bench"));
    bench.arg("compare").args([go, go_idle, idle]).args(args);
    process::run(&mut bench)
}

fn host_triple() -> Result<String, Failure> {
    let (text, _) = process::capture(&mut process::program("rustc", &["-vV"]))?;
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| "rustc names no host".to_owned())
}

/// A program of `tests/go`, stripped.
fn go_program(package: &str, name: &str) -> Result<std::path::PathBuf, Failure> {
    let program = setup::cache().join("peers").join(name);
    let mut command = process::program("go", &["build", "-trimpath", "-ldflags", "-s -w", "-o"]);
    process::run(command.arg(&program).arg(package).current_dir(crate::root().join("tests/go")))?;
    Ok(program)
}
