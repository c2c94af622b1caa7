//! Required plugins: who counts as having answered, and what the embedding runtime says to that (quirk A10).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use nri_wire::api::{PodSandbox, StateChangeEvent};
use nri_wire::event::Event;
use nri_wire::name::PluginName;

use super::message::Happened;
use super::plugin::{Plugin, Stage};
use super::{Core, RequestId, Submission, fold};
use crate::host::outcome::{Absence, Cause, Consulted, Missing, Outcome};
use crate::limits::TAKEN_BACK_MAX;
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

    /// Why a pod is refused whatever plugins answer; then none of them is told of it.
    pub(super) fn refused_beforehand(&mut self, submission: &Submission) -> Option<Cause> {
        let Submission::Notice(notice) = submission else { return None };
        let (Event::RunPodSandbox, Some(pod)) = (notice.event(), &notice.pod) else { return None };
        let may_answer =
            self.plugins.values().filter(|plugin| plugin.takes(Event::RunPodSandbox) && !plugin.is_overdue());
        let may_answer = may_answer.filter_map(|plugin| plugin.name.clone()).collect();
        let rejection = self.admit_pod(pod, may_answer).err()?;
        self.remember_taken_back(&pod.id);
        Some(self.cause(&[], rejection))
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

    /// The same for what has been told to everybody. A pod is taken back: not every engine tells the end of one whose
    /// RunPodSandbox failed.
    pub(super) fn reject_told(
        &mut self,
        id: RequestId,
        result: &fold::Outcome,
        rejection: Rejection,
        now: Instant,
    ) {
        let told = self.requests.get(&id).map_or(&[][..], |request| &request.plugins);
        // One that was late has been told, too, unless it was passed over for an earlier answer that it owes.
        let told = told.iter().filter(|c| match c.outcome {
            Outcome::Answer => true,
            Outcome::Late => !c.took.is_zero(),
            Outcome::Gone | Outcome::Veto(_) => false,
        });
        let told: BTreeSet<_> = told.map(|consulted| consulted.plugin.clone()).collect();
        self.reject(id, rejection, now);
        let fold::Outcome::Told(Some(notice)) = result else { return };
        let ends = [Event::StopPodSandbox, Event::RemovePodSandbox].map(|event| {
            let end = StateChangeEvent { event: event.into(), ..StateChangeEvent::clone(notice) };
            (event, Happened { notice: Arc::new(end), unknown: Arc::default() })
        });
        let has_it = |plugin: &Plugin| plugin.name.as_ref().is_some_and(|name| told.contains(name));
        let mut behind = Vec::new();
        for (id, plugin) in self.plugins.iter_mut().filter(|(_, plugin)| plugin.is_active() && has_it(plugin))
        {
            let takes = ends.iter().filter(|(event, _)| plugin.events.contains(*event));
            takes.collect::<Vec<_>>().into_iter().for_each(|(_, end)| plugin.misses(end));
            behind.push(*id);
        }
        behind.into_iter().for_each(|id| self.pump(id, now));
        if let Some(pod) = &notice.pod {
            self.remember_taken_back(&pod.id);
        }
    }

    fn remember_taken_back(&mut self, pod: &str) {
        self.taken_back.insert(pod.to_owned());
        if self.taken_back.len() > TAKEN_BACK_MAX {
            self.taken_back.pop_first();
        }
    }

    /// Whether an event is about a pod that has been taken back. Who had to know of its end knows.
    pub(super) fn is_taken_back(&mut self, submission: &Submission) -> bool {
        let Submission::Notice(notice) = submission else { return false };
        match (notice.event(), &notice.pod) {
            (Event::StopPodSandbox, Some(pod)) => self.taken_back.contains(&pod.id),
            (Event::RemovePodSandbox, Some(pod)) => self.taken_back.remove(&pod.id),
            _ => false,
        }
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
