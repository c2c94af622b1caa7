//! Required plugins: who counts as having answered, and what the embedding runtime and the policies say to that (quirk
//! A10, `policy.md` 7).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use nri_policy::identity::Facts;
use nri_policy::judge::{Judge, Member};
use nri_wire::api::{PodSandbox, StateChangeEvent};
use nri_wire::event::Event;
use nri_wire::name::PluginName;

use super::message::Happened;
use super::plugin::{Plugin, Stage};
use super::request::Request;
use super::{Core, RequestId, Submission, fold};
use crate::host::conclusion::{Circumstances, conclude, conclude_pod};
use crate::host::outcome::{Absence, Cause, Consulted, Missing, Outcome};
use crate::limits::TAKEN_BACK_MAX;
use crate::merge::Merged;
use crate::validate::Rejection;

/// A plugin that was asked or is there.
struct Present {
    name: PluginName,
    facts: Facts,
    answered: Result<(), &'static str>,
}

fn members(here: &[Present]) -> Vec<Member<'_>> {
    here.iter()
        .map(|Present { name, facts, answered }| Member { plugin: name, facts, answered: *answered })
        .collect()
}

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
        let rejection = self.admit_pod(pod, may_answer).err().map(|rejection| self.cause(&[], rejection));
        let cause = rejection.or_else(|| self.judge_pod(&self.setup.judge, pod, None).err())?;
        self.remember_taken_back(&pod.id);
        Some(cause)
    }

    /// What the embedding runtime says to a pod that has been told to everybody. Other events need nobody's word.
    pub(super) fn admit(&self, id: RequestId, result: &fold::Outcome) -> Result<(), Cause> {
        let fold::Outcome::Told(Some(notice)) = result else { return Ok(()) };
        let (Event::RunPodSandbox, Some(pod)) = (notice.event(), &notice.pod) else { return Ok(()) };
        let Some(request) = self.requests.get(&id) else { return Ok(()) };
        self.admit_pod(pod, self.who_answered(id))
            .map_err(|rejection| self.cause(&request.plugins, rejection))?;
        self.judge_pod(&request.judge, pod, Some(request))
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

    /// What the policies say to the end result of a creation.
    pub(super) fn judge_end(&mut self, id: RequestId, merged: &Merged) -> Result<(), Cause> {
        let Some(request) = self.requests.get(&id).filter(|request| request.judge.has_policies()) else {
            return Ok(());
        };
        let (judge, mut refused) = (request.judge.clone(), request.refused.clone());
        let here = self.here(Some(request), &self.answerers(id), Event::CreateContainer);
        let chain = members(&here);
        let result = conclude(&judge, merged, Circumstances { chain: &chain, is_live: true }, &mut refused);
        if let Some(request) = self.requests.get_mut(&id) {
            request.refused = refused;
        }
        result
    }

    /// What the policies say to a pod. `request`: the one by which it has been told to everybody.
    fn judge_pod(&self, judge: &Judge, pod: &PodSandbox, request: Option<&Request>) -> Result<(), Cause> {
        if !judge.has_policies() {
            return Ok(());
        }
        let active = self.plugins.values().filter(|plugin| plugin.is_active());
        let counts = active.filter(|plugin| {
            let asked = plugin.events.contains(Event::RunPodSandbox);
            !asked || (request.is_none() && plugin.takes(Event::RunPodSandbox) && !plugin.is_overdue())
        });
        let mut answered: Vec<_> = counts.filter_map(|plugin| plugin.name.clone()).collect();
        let plugins = request.map_or(&[][..], |request| &request.plugins);
        answered.extend(plugins.iter().filter(|c| c.outcome == Outcome::Answer).map(|c| c.plugin.clone()));
        let here = self.here(request, &answered, Event::RunPodSandbox);
        conclude_pod(judge, pod, Circumstances { chain: &members(&here), is_live: true })
    }

    /// Every plugin that was asked or is there: who it is, and what became of its answer.
    fn here(&self, request: Option<&Request>, answered: &[PluginName], event: Event) -> Vec<Present> {
        let plugins = request.map_or(&[][..], |request| &request.plugins);
        let facts = |name: &PluginName| {
            let kept = request.and_then(|request| request.facts.iter().find(|(known, _)| known == name));
            kept.map(|(_, facts)| facts.clone())
        };
        let said = |outcome: &Outcome| match outcome {
            Outcome::Answer => Ok(()),
            Outcome::Veto(_) => Err("refused"),
            Outcome::Late => Err("did not answer in time"),
            Outcome::Gone => Err("was lost before it answered"),
        };
        let mut here: Vec<Present> = plugins
            .iter()
            .map(|asked| Present {
                facts: facts(&asked.plugin).unwrap_or_default(),
                name: asked.plugin.clone(),
                answered: said(&asked.outcome),
            })
            .collect();
        for (id, plugin) in self.plugins.iter().filter(|(_, plugin)| plugin.is_active()) {
            let Some(name) = plugin.name.clone() else { continue };
            let now = || self.identity(*id).facts();
            if let Some(known) = here.iter_mut().find(|known| known.name == name) {
                if facts(&name).is_none() {
                    known.facts = now();
                }
                continue;
            }
            let answered = match answered.contains(&name) {
                true => Ok(()),
                false if plugin.events.contains(event) => Err("still owes an earlier answer"),
                false => Err("does not take this event"),
            };
            here.push(Present { facts: now(), name, answered });
        }
        here
    }

    /// Fails a request that the embedding runtime rejects.
    pub(super) fn reject(&mut self, id: RequestId, rejection: Rejection, now: Instant) {
        let plugins = self.requests.get(&id).map_or(&[][..], |request| &request.plugins);
        let cause = self.cause(plugins, rejection);
        self.fail(id, cause, now);
    }

    /// The same for what has been told to everybody. A pod is taken back: not every engine tells the end of one whose
    /// RunPodSandbox failed.
    pub(super) fn reject_told(&mut self, id: RequestId, result: &fold::Outcome, cause: Cause, now: Instant) {
        let told = self.requests.get(&id).map_or(&[][..], |request| &request.plugins);
        // One that was late has been told, too, unless it was passed over for an earlier answer that it owes.
        let told = told.iter().filter(|c| match c.outcome {
            Outcome::Answer => true,
            Outcome::Late => !c.took.is_zero(),
            Outcome::Gone | Outcome::Veto(_) => false,
        });
        let told: BTreeSet<_> = told.map(|consulted| consulted.plugin.clone()).collect();
        self.fail(id, cause, now);
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
