//! `nri plugin template`: does nothing. The shape of a bundled plugin, to be copied.

use nri_plugin::{
    Adjustment, Builder, Configure, CreateContainer, EventMask, Plugin, Result, StopContainer, Synchronize,
    Update, UpdateContainer, Updates,
};
use serde::Deserialize;

use super::config::{self, Current, Given};
use crate::failure::Failure;

/// The configuration: every key that there is, with its default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Config {
    /// Whether to say what is done.
    announce: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { announce: true }
    }
}

struct Template {
    config: Current<Config>,
}

/// Runs it.
pub(super) fn run(builder: Builder, given: &Given) -> Result<(), Failure> {
    let config = given.parse::<Config>()?;
    super::run(builder, Template { config: Current::new(config.unwrap_or_default()) })
}

impl Template {
    fn announce(&self, event: &str, what: &str) {
        if self.config.get().announce {
            tracing::info!("{event} {what}");
        }
    }
}

#[nri_plugin::plugin]
impl Plugin for Template {
    /// The runtime's text counts; where it sends none, that of `--config` stays.
    fn configure(&self, request: &Configure) -> Result<EventMask> {
        if let Some(config) = config::parse(&request.config)? {
            self.config.set(config);
        }
        Ok(EventMask::NONE)
    }

    fn synchronize(&self, request: &Synchronize) -> Result<Vec<Update>> {
        self.announce("Synchronize", &format!("{} containers", request.containers.len()));
        Ok(Vec::new())
    }

    fn create_container(&self, request: &CreateContainer) -> Result<Adjustment> {
        self.announce("CreateContainer", &request.container().name);
        Ok(Adjustment::new())
    }

    fn update_container(&self, request: &UpdateContainer) -> Result<Updates> {
        self.announce("UpdateContainer", &request.container().name);
        Ok(Updates::new())
    }

    fn stop_container(&self, request: &StopContainer) -> Result<Vec<Update>> {
        self.announce("StopContainer", &request.container().name);
        Ok(Vec::new())
    }

    fn shutdown(&self) {
        self.announce("Shutdown", "");
    }
}
