//! The smallest plugin: what its size and memory are is what the SDK costs.

use nri_plugin::{Plugin, RemoveContainer, Result};
use std::process::ExitCode;

struct Idle;

#[nri_plugin::plugin]
impl Plugin for Idle {
    fn remove_container(&self, _request: &RemoveContainer) -> Result {
        Ok(())
    }
}

fn main() -> ExitCode {
    nri_plugin::run(Idle)
}
