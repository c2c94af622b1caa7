//! Who a plugin is, as far as that is known now, and what the policy therefore lets it do.

use nri_wire::name::PluginName;
use nri_wire::restrictions::{RestrictionsRequest, RestrictionsResponse};
use tracing::warn;

use super::{Core, PluginId};
use crate::host::identity::Identity;

impl Core {
    /// What the policy lets a plugin do that asks.
    pub(crate) fn restrictions(
        &self,
        id: PluginId,
        request: &RestrictionsRequest,
    ) -> Option<RestrictionsResponse> {
        let plugin = self.plugins.get(&id)?;
        let said = || PluginName::new(&request.plugin_idx, &request.plugin_name).ok();
        let name = plugin.name.clone().or_else(said)?;
        self.setup.embedder.0.restrictions(&name, &self.identity(id))
    }

    /// Who a plugin is, as far as that is known now.
    pub(super) fn identity(&self, id: PluginId) -> Identity {
        let mut identity =
            self.plugins.get(&id).map(|plugin| plugin.origin.identity.clone()).unwrap_or_default();
        self.table.find_pod(&mut identity);
        identity
    }

    /// What was known of a plugin's process no longer holds (`policy.md` 2, "Rules").
    pub(crate) fn handle_changed(&mut self, id: PluginId, why: &str) {
        let Some(plugin) = self.plugins.get_mut(&id) else { return };
        warn!(plugin = %plugin.label(), "{why}: it has no proven identity any more");
        plugin.origin.identity = Identity { lost: true, ..Identity::default() };
    }
}
