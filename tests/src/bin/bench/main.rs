//! The measurements of SPECIFICATION.md: `cargo xtask bench wire` runs `bench compare`; `bench gateway`, `bench policy`
//! and `bench seccomp` are called as they are.
//!
//! Every figure is a ratio within one run. Host and plugin are processes of their own, so that they can be pinned to one
//! core; rounds of all competitors are interleaved, and medians over rounds are compared. A driver reads rounds from
//! stdin and prints what they took, one JSON line each; the Go side (`tests/go`, `bench`) speaks the same lines.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command that prints figures")]

mod compare;
mod entrant;
mod floor;
mod gateway;
mod host;
mod ours;
mod policy;
mod round;
mod seccomp;

use std::process::ExitCode;

/// The allocator of the `nri` binary, for host and plugin alike. The idle plugin, for size and memory, has the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What ends a measurement.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["compare", go, go_idle, idle, rest @ ..] => compare::run(go, go_idle, idle, rest.contains(&"json")),
        ["gateway", go, nri, rest @ ..] => gateway::run(go, nri, rest.contains(&"json")),
        ["policy", rest @ ..] => policy::run(rest.contains(&"json")),
        ["seccomp", rest @ ..] => seccomp::run(rest.contains(&"json")),
        ["host", socket, plugins, concurrency] => host::drive(socket, plugins, concurrency),
        ["idle-plugins", socket, count] => host::idle_plugins(socket, count),
        ["floor", socket] => floor::drive(socket),
        ["floor-peer", socket] => floor::serve(socket),
        ["wire", socket] => ours::wire(socket),
        ["plugin", socket] => ours::plugin(socket),
        _ => Err("usage: bench compare GO GO-IDLE IDLE [json] | gateway GO NRI [json] | policy|seccomp [json] | \
                  floor|floor-peer|wire|plugin SOCKET | host SOCKET PLUGINS CONCURRENCY | idle-plugins SOCKET N"
            .into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
