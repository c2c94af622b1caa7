//! libseccomp behind a pipe: see `nri_tests::seccomp::compiler`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match nri_tests::seccomp::compiler::serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
