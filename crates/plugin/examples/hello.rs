//! Sets a variable in every container.
use nri_plugin::{Adjustment, CreateContainer, Plugin, Result};
use std::process::ExitCode;

struct Hello;

#[nri_plugin::plugin]
impl Plugin for Hello {
    fn create_container(&self, request: &CreateContainer) -> Result<Adjustment> {
        Ok(Adjustment::new().add_env("HELLO", &request.pod().name))
    }
}

fn main() -> ExitCode {
    nri_plugin::run(Hello)
}
