//! `nri plugin seccomp`: replaces a container's seccomp policy, or takes the one it has, edits it and gives it back, and
//! sets a listener for each pod. The configuration is described in [`config`].
//!
//! What a rule asks for and cannot be done fails the creation: a container must not run with less than was meant.

mod config;
mod listener;
mod message;
mod rule;

use nri_plugin::{Adjustment, Builder, Configure, CreateContainer, EventMask, Plugin, Result};
use nri_wire::field::Field;
use nri_wire::version::NriVersion;

use self::config::Config;
use super::config::{Current, Given};
use crate::failure::Failure;

struct Seccomp {
    /// Nothing until the plugin is configured.
    config: Current<Option<Config>>,
}

/// Runs it.
pub(super) fn run(builder: Builder, given: &Given) -> std::result::Result<(), Failure> {
    super::run(builder, Seccomp { config: Current::new(given.parse()?) })
}

#[nri_plugin::plugin]
impl Plugin for Seccomp {
    fn configure(&self, request: &Configure) -> Result<EventMask> {
        if let Some(config) = super::config::parse(&request.config)? {
            self.config.set(Some(config));
        }
        if self.config.get().is_none() {
            return Err("the seccomp plugin needs a configuration with rules, and has none".into());
        }
        let runtime = format!("{} {}", request.runtime_name, request.runtime_version);
        let version =
            NriVersion::of_runtime(&request.nri_version, &request.runtime_name, &request.runtime_version);
        if version.is_some_and(|version| !version.supports(Field::Seccomp)) {
            return Err(format!("{runtime} cannot change seccomp policies; that needs NRI 0.10").into());
        }
        Ok(EventMask::NONE)
    }

    fn create_container(&self, request: &CreateContainer) -> Result<Adjustment> {
        let config = self.config.get();
        let Some(config) = &*config else { return Ok(Adjustment::new()) };
        match config.policy_for(request.pod(), request.container())? {
            Some(policy) => Ok(Adjustment::new().seccomp(message::from_policy(&policy))),
            None => Ok(Adjustment::new()),
        }
    }
}
