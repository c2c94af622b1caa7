//! What real engines make of a plugin behind the gateway: `cargo xtask engines` builds them and runs this.
//!
//! Each engine runs in a folder of its own, the gateway before it, a plugin by the reference's library behind that.
//! One pod with one container goes through its whole life. The report says which events the plugin got, which of its
//! changes the container's OCI spec has, which not, and whether the gateway named those.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command that reports to people")]

mod containerd;
mod crio;
mod daemon;
mod docker;
mod pod;
mod probe;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nri_tests::engine::Line;

use crate::probe::Ran;

/// What ends an attempt: a sentence that says what is missing.
type Failure = Box<dyn std::error::Error>;

/// A running engine.
trait Engine {
    /// Where plugins connect, here the gateway.
    fn nri_socket(&self) -> PathBuf;

    /// Where the bundles of its containers are, at any depth.
    fn folder(&self) -> &Path;

    /// Takes one container through its life, and shows it while it runs.
    fn run(&mut self, look: &mut dyn FnMut(&str) -> Result<Ran, Failure>) -> Result<Ran, Failure>;

    /// What it has logged.
    fn log(&self) -> String;
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut words: Vec<&str> = args.iter().map(String::as_str).collect();
    let json = words.iter().position(|word| *word == "-o").is_some_and(|at| {
        let form = words.get(at + 1).is_some_and(|form| *form == "json");
        words.drain(at..(at + 2).min(words.len()));
        form
    });
    let mut failed = false;
    for name in words {
        let engine = match name {
            "containerd" => containerd::start(Line::V2_3),
            "containerd-2.2" => containerd::start(Line::V2_2),
            "crio" => crio::start(),
            "docker" => docker::start(),
            other => Err(format!("no engine {other:?}: containerd, containerd-2.2, crio, docker").into()),
        };
        match engine.and_then(|mut engine| probe::run(name, &mut *engine)) {
            Ok(report) => {
                failed |= !report.holds();
                report.print(json);
            }
            Err(error) => {
                failed = true;
                eprintln!("error: {name}: {error}");
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
