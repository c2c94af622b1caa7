//! `nri seccomp compile`: the program that runc or crun would load for a policy.

#[cfg(feature = "libseccomp")]
mod library;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use nri_seccomp::bpf::{ByteOrder, Program};
use nri_seccomp::policy::Policy;
use nri_seccomp::settings::Host;
use serde_json::{Value, json};

use super::{input, target};
use crate::failure::Failure;

/// Show the program (classic BPF) that runc or crun would load for a policy on this machine
///
/// libseccomp makes it, as the runtime would ask for it; for runc with its ENOSYS stub in front. Which version of libseccomp the
/// runtime has may matter. Exit code: 0 done, 2 bad input, 3 not built with libseccomp, or libseccomp refuses.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  nri seccomp compile policy.json --runtime crun -o asm")]
pub(crate) struct Args {
    /// The file with the policy, of any form that `nri seccomp show` reads; `-` is stdin
    file: PathBuf,
    /// Whose way of loading a policy
    #[arg(long, value_name = "RUNTIME", default_value = "runc")]
    runtime: Runtime,
    /// Form of the program
    #[arg(short, long, value_name = "FORMAT", default_value = "asm")]
    output: Output,
    #[command(flatten)]
    target: target::Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Runtime {
    /// 1.2 and later
    Runc,
    Crun,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// One instruction a line
    #[value(alias = "text")]
    Asm,
    /// The array of `struct sock_filter`, one instruction a line
    Hex,
    /// One object
    Json,
}

/// Runs the command.
pub(crate) fn main(args: &Args) -> ExitCode {
    let result = compile(args).and_then(|program| {
        let text = match args.output {
            Output::Asm => program.to_string(),
            Output::Hex => hex(&program, "\n"),
            Output::Json => format!("{}\n", json(&program, args.runtime)),
        };
        write!(std::io::stdout(), "{text}")
            .map_err(|error| Failure::unavailable(format!("cannot write the program: {error}")))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.end(),
    }
}

fn compile(args: &Args) -> Result<Program, Failure> {
    let name = input::name(&args.file);
    let bad = |error: &dyn std::fmt::Display| Failure::usage(format!("{name}: {error}"));
    let policy = input::read_valid(&args.file, &args.target.target(Host::this().native()))?;
    let policy = policy.ok_or_else(|| bad(&"no policy means no filter; there is nothing to compile"))?;
    made(policy, args.runtime)
}

#[cfg(feature = "libseccomp")]
fn made(policy: Policy, runtime: Runtime) -> Result<Program, Failure> {
    library::compile(policy, runtime)
}

#[cfg(not(feature = "libseccomp"))]
fn made(_: Policy, _: Runtime) -> Result<Program, Failure> {
    Err(Failure::unavailable(
        "this nri was built without libseccomp; install libseccomp-dev and build it with `cargo install nri --features libseccomp`",
    ))
}

/// Sixteen digits for each instruction, as it lies in this machine's memory.
fn hex(program: &Program, after: &str) -> String {
    let bytes = program.to_bytes(ByteOrder::HERE);
    let (instructions, _) = bytes.as_chunks::<8>();
    let digits = |bytes: &[u8; 8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    instructions.iter().map(|bytes| digits(bytes) + after).collect()
}

fn json(program: &Program, runtime: Runtime) -> Value {
    let instructions = program.instructions().iter();
    let instructions: Vec<Value> =
        instructions.map(|it| json!({"code": it.code, "jt": it.jt, "jf": it.jf, "k": it.k})).collect();
    json!({
        "version": 1,
        "runtime": if runtime == Runtime::Runc { "runc" } else { "crun" },
        "stub": program.split_stub().map(|(stub, _)| stub.instructions),
        "instructions": instructions,
        "hex": hex(program, ""),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let program = Program::from_hex("0600000000000500", ByteOrder::Little).unwrap();
        if ByteOrder::HERE == ByteOrder::Little {
            assert_eq!(hex(&program, "\n"), "0600000000000500\n");
        }
        let expect = json!([{"code": 6, "jt": 0, "jf": 0, "k": 0x0005_0000}]);
        assert_eq!(json(&program, Runtime::Crun)["instructions"], expect);
        assert!(program.to_string().contains("ERRNO(0)"));
    }
}
