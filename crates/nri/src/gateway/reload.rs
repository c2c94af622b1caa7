//! SIGHUP: what may change while the gateway runs.

use tracing::{info, warn};

use super::{Gateway, notify};
use crate::settings::gateway::Settings;
use crate::settings::plugin;

impl Gateway {
    /// Reads the settings again, and opens audit log and recording by their names again. What is wrong leaves the old ones in force.
    /// Gives the settings that are in force from now on, if they could be read.
    pub(super) fn reload(&self) -> Option<Settings> {
        // The service manager takes no reload of what it does not know to be ready.
        let ready = self.host().is_some();
        if ready {
            notify::reloading();
        }
        self.audit.reopen();
        if let Some(recorder) = &self.recorder {
            recorder.reopen();
        }
        let settings = self.take_settings();
        if ready {
            notify::reloaded();
        }
        settings
    }

    fn take_settings(&self) -> Option<Settings> {
        let new = match self.source.read() {
            Ok(new) => new,
            Err(failure) => {
                warn!("the settings stay as they are: {failure}");
                return None;
            }
        };
        let restart = self.settings.needing_restart(&new);
        if !restart.is_empty() {
            warn!("needs a restart to take effect: {}", restart.join(", "));
        }
        self.read_policy(&new);
        self.validator.replace(new.validator.clone());
        let plugins = plugin::settings(new.plugins.clone());
        match (self.host(), &mut *self.config()) {
            (Some(host), _) => host.set_plugins(plugins),
            (None, Some(config)) => config.plugins = plugins,
            (None, None) => {}
        }
        info!("the settings are read again");
        Some(new)
    }

    /// Reads the policies again, which have changed.
    pub(super) fn take_policy(&self) {
        match self.source.read() {
            Ok(settings) => self.read_policy(&settings),
            Err(failure) => warn!("the policy stays as it is, since the settings cannot be read: {failure}"),
        }
    }

    /// Puts the policies in force that these settings name. What does not load leaves the old ones in force.
    fn read_policy(&self, settings: &Settings) {
        // Where audit lines go changes with a restart only.
        let settings = Settings { audit: self.settings.audit.clone(), ..settings.clone() };
        match settings.in_force() {
            Ok(new) => {
                let hash = new.hash().unwrap_or("none").to_owned();
                if self.lock.now().hash() != new.hash() {
                    info!("policy {hash} is in force");
                }
                let judge = new.judge().clone();
                self.lock.replace(new);
                self.audit.loaded(&self.lock.now(), &self.engine());
                match (self.host(), &mut *self.config()) {
                    (Some(host), _) => host.set_judge(judge),
                    (None, Some(config)) => config.judge = judge,
                    (None, None) => {}
                }
            }
            Err(failure) => {
                let old = self.lock.now();
                self.audit.rejected(&old, &self.engine(), &failure);
                let hash = old.hash().unwrap_or("none");
                warn!("policy {hash} stays in force: {failure}");
            }
        }
    }
}
