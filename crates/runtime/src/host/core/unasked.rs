//! What plugins ask for on their own account: their own calls, the updates in their answers to Synchronize, and those in
//! answers to events that they were told after the request was over. The policy judges it, the embedding runtime does it.

use std::time::Instant;

use nri_policy::judge::{self, Asked, Other, Refused};
use nri_wire::api::UpdateContainersRequest;
use nri_wire::event::display_name;
use tracing::warn;

use super::{Action, Answer, Call, Core, End, Permission, PluginId, Refusal};
use crate::host::given::Said;
use crate::host::outcome::Judgement;
use crate::merge::{Unmerged, pass};

impl Core {
    /// UpdateContainers: what the embedding runtime is to be asked.
    pub(crate) fn handle_update_containers(
        &mut self,
        id: PluginId,
        request: UpdateContainersRequest,
        unknown: &[String],
        now: Instant,
    ) -> Result<Permission, Refusal> {
        if let Some(name) = self.plugins.get(&id).and_then(|plugin| plugin.name.clone()) {
            let (facts, updates) = (self.identity(id).facts(), request.update.len());
            let refused = self.setup.judge.count_updates(&name, &facts, updates, now);
            refused.iter().for_each(log);
            if refused.iter().any(|refused| refused.action >= judge::Action::DropPlugin) {
                return Err(Refusal::Denied);
            }
        }
        self.ask(id, request, unknown)
    }

    fn ask(
        &mut self,
        id: PluginId,
        request: UpdateContainersRequest,
        unknown: &[String],
    ) -> Result<Permission, Refusal> {
        if self.plugins.get(&id).is_some_and(|plugin| plugin.is_active() && plugin.name.is_some()) {
            self.show_asked(id, || Said::UpdateContainers(request.clone()), unknown);
            self.permit(id, request, unknown, false)
        } else {
            warn!("UpdateContainers of a plugin that is not active: refused");
            Err(Refusal::NotActive)
        }
    }

    /// The answer to an event that the plugin was told after it had joined.
    pub(super) fn take_missed(&mut self, call: &Call, end: End) {
        let Some(plugin) = self.plugins.get(&call.plugin) else { return };
        if let End::Answer(Answer::Stop(answer), unknown) = end {
            let request = UpdateContainersRequest { update: answer.update, ..Default::default() };
            if let Ok(permission) = self.ask(call.plugin, request, &unknown) {
                self.apply(permission);
            }
        } else if !matches!(end, End::Answer(..)) {
            let event = display_name(call.event);
            warn!(plugin = %plugin.label(), event, "failed to take an event: {}", end.fault());
        }
    }

    /// What of it the policy lets through. What it does not is logged, and shown to the embedder: no request has a decision that would show it.
    pub(super) fn permit<A>(
        &self,
        id: PluginId,
        asked: A,
        unknown: &[String],
        synchronizing: bool,
    ) -> Result<Permission, Refusal>
    where
        A: Unmerged + for<'a> judge::Answer<Basis<'a> = Other<'a>>,
    {
        let name = self.plugins.get(&id).and_then(|plugin| plugin.name.clone()).ok_or(Refusal::NotActive)?;
        let identity = self.identity(id);
        let judged =
            Asked { plugin: &name, facts: &identity.facts(), basis: Other { targets: &self.table }, unknown };
        let verdict = self.setup.judge.judge(&judged, asked);
        verdict.refused.iter().for_each(log);
        if self.setup.judge.records() {
            let (pid, changes, refused) = (self.pid(id), verdict.judged, verdict.refused);
            let judgement = Judgement { identity, pid, changes, refused };
            self.setup.embedder.0.judged(&name, synchronizing, &judgement);
        }
        let Some(permitted) = verdict.permitted else {
            warn!(plugin = %name, "the policy lets nothing through of what it asks for on its own account");
            return Err(Refusal::Denied);
        };
        let passed = pass(&name, permitted);
        Ok(Permission { plugin: name, passed, in_call: self.is_in_call(id) })
    }

    /// Has the embedding runtime do what a plugin asks for outside of any request.
    pub(super) fn apply(&mut self, permission: Permission) {
        let passed = &permission.passed;
        if !passed.updates.is_empty() || !passed.evictions.is_empty() {
            self.actions.push_back(Action::Apply(permission));
        }
    }
}

fn log(refused: &Refused) {
    let Refused { plugin, field, key, rule, at, action, reason, .. } = refused;
    let at = at.as_deref().unwrap_or_default();
    warn!(%plugin, %field, %key, %rule, at, ?action, "violates the policy on its own account: {reason}");
}
