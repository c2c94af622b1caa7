//! Rejects containers into which a plugin puts hooks, unless the plugin is named in `TRUSTED` (comma-separated full
//! names).
//!
//! Shows: validation, and who owns what in the merged result.

use nri_plugin::{Field, Plugin, Result, Validate};
use std::process::ExitCode;

struct Validator {
    trusted: Vec<String>,
}

#[nri_plugin::plugin]
impl Plugin for Validator {
    fn validate_container_adjustment(&self, request: &Validate) -> Result {
        let owners = request.owners.as_ref().and_then(|owners| owners.owners.get(&request.container().id));
        let hooks = Field::Hooks.number().unwrap_or_default();
        // Hooks of several plugins add up: their owners are listed with commas.
        let owners = owners.and_then(|owners| owners.simple.get(&hooks)).map_or("", String::as_str);
        match owners.split(',').find(|owner| !owner.is_empty() && !self.trusted.iter().any(|t| t == owner)) {
            Some(owner) => Err(format!("plugin {owner} may not add hooks").into()),
            None => Ok(()),
        }
    }
}

fn main() -> ExitCode {
    let trusted = std::env::var("TRUSTED").unwrap_or_default();
    nri_plugin::run(Validator { trusted: trusted.split(',').map(str::to_owned).collect() })
}
