//! Required plugins: who counts as having answered, and what the embedding runtime says to that (quirk A10).

use std::time::Instant;

use nri_wire::api::PodSandbox;
use nri_wire::event::Event;
use nri_wire::name::PluginName;

use super::plugin::Stage;
use super::{Core, RequestId, Submission, fold};
use crate::host::outcome::{Absence, Cause, Consulted, Missing, Outcome};
use crate::validate::Rejection;

impl Core {
    /// The plugins that count for a container: those that answered, and those asked for nothing but validation.
    pub(super) fn answerers(&self, id: RequestId) -> Vec<PluginName> {
        let Some(request) = self.requests.get(&id) else { return Vec::new() };
        let validators = request.to_validate.iter().filter(|party| {
            let plugin = self.plugins.get(&party.id);
            plugin.is_some_and(|plugin| !plugin.events.contains(Event::CreateContainer))
        });
        let mut names = self.who_answered(id);
        names.extend(validators.map(|party| party.name.clone()));
        names.sort_unstable();
        names
    }

    /// Why a pod is refused whatever plugins answer; then none of them is told of it. Engines do not take back a
    /// RunPodSandbox that failed (containerd 2.3), so who was told would know for ever a pod that never ran.
    pub(super) fn refused_beforehand(&self, submission: &Submission) -> Option<Cause> {
        let Submission::Notice(notice) = submission else { return None };
        let (Event::RunPodSandbox, Some(pod)) = (notice.event(), &notice.pod) else { return None };
        let may_answer =
            self.plugins.values().filter(|plugin| plugin.takes(Event::RunPodSandbox) && !plugin.is_overdue());
        let may_answer = may_answer.filter_map(|plugin| plugin.name.clone()).collect();
        self.admit_pod(pod, may_answer).err().map(|rejection| self.cause(&[], rejection))
    }

    /// What the embedding runtime says to a pod that has been told to everybody. Other events need nobody's word.
    pub(super) fn admit(&self, id: RequestId, result: &fold::Outcome) -> Result<(), Rejection> {
        let fold::Outcome::Told(Some(notice)) = result else { return Ok(()) };
        let (Event::RunPodSandbox, Some(pod)) = (notice.event(), &notice.pod) else { return Ok(()) };
        self.admit_pod(pod, self.who_answered(id))
    }

    fn admit_pod(&self, pod: &PodSandbox, mut answered: Vec<PluginName>) -> Result<(), Rejection> {
        let active: Vec<_> = self.plugins.values().filter(|plugin| plugin.is_active()).collect();
        let unasked = active.iter().filter(|plugin| !plugin.events.contains(Event::RunPodSandbox));
        answered.extend(unasked.filter_map(|plugin| plugin.name.clone()));
        let mut connected: Vec<_> = active.iter().filter_map(|plugin| plugin.name.clone()).collect();
        answered.sort_unstable();
        connected.sort_unstable();
        self.setup.embedder.0.admit_pod(pod, &answered, &connected)
    }

    /// Fails a request that the embedding runtime rejects.
    pub(super) fn reject(&mut self, id: RequestId, rejection: Rejection, now: Instant) {
        let plugins = self.requests.get(&id).map_or(&[][..], |request| &request.plugins);
        let cause = self.cause(plugins, rejection);
        self.fail(id, cause, now);
    }

    fn cause(&self, plugins: &[Consulted], rejection: Rejection) -> Cause {
        match rejection {
            Rejection::Missing(names) => Cause::Required(
                names
                    .into_iter()
                    .map(|plugin| Missing { absence: self.absence(plugins, &plugin), plugin })
                    .collect(),
            ),
            other => Cause::Rejected(other.to_string()),
        }
    }

    fn who_answered(&self, id: RequestId) -> Vec<PluginName> {
        let plugins = self.requests.get(&id).map_or(&[][..], |request| &request.plugins);
        plugins.iter().filter(|c| c.outcome == Outcome::Answer).map(|c| c.plugin.clone()).collect()
    }

    /// Why a plugin of this name, with or without index, did not answer; `plugins` have had their turn.
    fn absence(&self, plugins: &[Consulted], required: &str) -> Absence {
        let is_it = |name: &PluginName| name.full() == required || name.base() == required;
        let asked = plugins.iter().find(|consulted| is_it(&consulted.plugin));
        match asked.map(|consulted| &consulted.outcome) {
            Some(Outcome::Late) => return Absence::Late,
            Some(Outcome::Gone) => return Absence::Gone,
            Some(Outcome::Answer | Outcome::Veto(_)) | None => {}
        }
        let namesake = self.plugins.values().find(|plugin| plugin.name.as_ref().is_some_and(is_it));
        match namesake.map(|plugin| (&plugin.stage, plugin.is_overdue())) {
            Some((Stage::Active, true)) => Absence::Late,
            Some((Stage::Active, false)) => Absence::NotSubscribed,
            Some((Stage::Leaving, _)) | None => Absence::NotConnected,
            Some(_) => Absence::Joining,
        }
    }
}
