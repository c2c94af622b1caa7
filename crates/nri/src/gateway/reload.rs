//! SIGHUP: what may change while the gateway runs.

use tracing::{info, warn};

use super::{Gateway, notify};
use crate::settings::plugin;

impl Gateway {
    /// Reads the settings again, and opens the recording by its name again. What is wrong leaves the old ones in force.
    pub(super) fn reload(&self) {
        // The service manager takes no reload of what it does not know to be ready.
        let ready = self.host().is_some();
        if ready {
            notify::reloading();
        }
        if let Some(recorder) = &self.recorder {
            recorder.reopen();
        }
        self.take_settings();
        if ready {
            notify::reloaded();
        }
    }

    fn take_settings(&self) {
        let new = match self.source.read() {
            Ok(new) => new,
            Err(failure) => return warn!("the settings stay as they are: {failure}"),
        };
        let restart = self.settings.needing_restart(&new);
        if !restart.is_empty() {
            warn!("needs a restart to take effect: {}", restart.join(", "));
        }
        self.validator.replace(new.validator);
        let plugins = plugin::settings(new.plugins);
        match (self.host(), &mut *self.config()) {
            (Some(host), _) => host.set_plugins(plugins),
            (None, Some(config)) => config.plugins = plugins,
            (None, None) => {}
        }
        info!("the settings are read again");
    }
}
