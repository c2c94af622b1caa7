//! Who a plugin is, as far as that is known now, and what the policy therefore lets it do.

use std::time::Instant;

use nri_policy::judge::Judge;
use nri_wire::name::PluginName;
use nri_wire::restrictions::{RestrictionsRequest, RestrictionsResponse};
use tracing::warn;

use super::plugin::Plugin;
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

    /// Its process, as far as that is known.
    pub(super) fn pid(&self, id: PluginId) -> Option<u32> {
        self.plugins.get(&id)?.origin.pid
    }

    /// Whether the policy has to know the digest of a plugin's executable before it can tell who this is, and that is
    /// still to come.
    pub(crate) fn awaits_digest(&self, id: PluginId) -> bool {
        self.setup.judge.wants_digests() && self.plugins.get(&id).is_some_and(|plugin| plugin.origin.pending)
    }

    /// The rule that keeps a name for another plugin than this one.
    pub(super) fn reserved(&self, id: PluginId, name: &PluginName) -> Option<String> {
        let standings = self.setup.judge.standings(name, &self.identity(id).facts());
        standings.into_iter().find_map(|standing| standing.reserved.map(str::to_owned))
    }

    /// Another policy is in force for requests that come from now on. Plugins whose names it keeps for others are
    /// closed.
    pub(crate) fn set_judge(&mut self, judge: Judge, now: Instant) {
        self.setup.judge = judge;
        let named = |(id, plugin): (&PluginId, &Plugin)| Some((*id, plugin.name.clone()?));
        let plugins: Vec<_> = self.plugins.iter().filter_map(named).collect();
        for (id, name) in plugins {
            if let Some(rule) = self.reserved(id, &name) {
                self.close(id, &format!("the policy keeps the name {name} for another plugin ({rule})"), now);
            }
        }
    }

    /// What was known of a plugin's process no longer holds (`policy.md` 2, "Rules").
    pub(crate) fn handle_changed(&mut self, id: PluginId, why: &str) {
        let Some(plugin) = self.plugins.get_mut(&id) else { return };
        warn!(plugin = %plugin.label(), "{why}: it has no proven identity any more");
        plugin.origin.identity = Identity { lost: true, ..Identity::default() };
    }
}
