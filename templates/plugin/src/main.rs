//! {{description}}

use std::process::ExitCode;

use nri_plugin::{Adjustment, Configure, CreateContainer, EventMask, Plugin, Result};

struct App;

/// What is implemented here is what the plugin subscribes to. `nri_plugin::Plugin` lists what there is.
#[nri_plugin::plugin]
impl Plugin for App {
    /// `request.config` is the text of `/etc/nri/conf.d/NN-{{project-name}}.conf` for a plugin that the runtime launches.
    fn configure(&self, request: &Configure) -> Result<EventMask> {
        if !request.config.trim().is_empty() {
            return Err("this plugin takes no configuration".into());
        }
        Ok(EventMask::NONE)
    }

    fn create_container(&self, request: &CreateContainer) -> Result<Adjustment> {
        Ok(Adjustment::new().add_annotation("{{project-name}}", &request.pod().namespace))
    }
}

fn main() -> ExitCode {
    nri_plugin::run(App)
}

#[cfg(test)]
mod tests {
    use nri_plugin::Handlers;

    use super::*;

    #[test]
    fn subscribes_to_creations() {
        assert!(App::HANDLERS.contains(&"create_container"));
    }
}
