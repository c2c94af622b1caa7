//! Required plugins: who counts as having answered, and what the embedding runtime says to that (quirk A10).

use std::time::Instant;

use nri_wire::event::Event;
use nri_wire::name::PluginName;

use super::plugin::Stage;
use super::{Core, RequestId, fold};
use crate::host::outcome::{Absence, Cause, Missing, Outcome};
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

    /// What the embedding runtime says to a pod that has been told to everybody. Other events need nobody's word.
    pub(super) fn admit(&self, id: RequestId, result: &fold::Outcome) -> Result<(), Rejection> {
        let fold::Outcome::Told(Some(notice)) = result else { return Ok(()) };
        let (Event::RunPodSandbox, Some(pod)) = (notice.event(), &notice.pod) else { return Ok(()) };
        let active = |takes: bool| {
            let active = self.plugins.values().filter(|plugin| plugin.is_active());
            active
                .filter(move |plugin| takes || !plugin.events.contains(Event::RunPodSandbox))
                .filter_map(|plugin| plugin.name.clone())
        };
        let (mut answered, mut connected) = (self.who_answered(id), active(true).collect::<Vec<_>>());
        answered.extend(active(false));
        answered.sort_unstable();
        connected.sort_unstable();
        self.setup.embedder.0.admit_pod(pod, &answered, &connected)
    }

    /// Fails a request that the embedding runtime rejects.
    pub(super) fn reject(&mut self, id: RequestId, rejection: Rejection, now: Instant) {
        let cause = match rejection {
            Rejection::Missing(names) => Cause::Required(
                names
                    .into_iter()
                    .map(|plugin| Missing { absence: self.absence(id, &plugin), plugin })
                    .collect(),
            ),
            other => Cause::Rejected(other.to_string()),
        };
        self.fail(id, cause, now);
    }

    fn who_answered(&self, id: RequestId) -> Vec<PluginName> {
        let plugins = self.requests.get(&id).map_or(&[][..], |request| &request.plugins);
        plugins.iter().filter(|c| c.outcome == Outcome::Answer).map(|c| c.plugin.clone()).collect()
    }

    /// Why a plugin of this name, with or without index, did not answer a request.
    fn absence(&self, id: RequestId, required: &str) -> Absence {
        let is_it = |name: &PluginName| name.full() == required || name.base() == required;
        let plugins = self.requests.get(&id).map_or(&[][..], |request| &request.plugins);
        let asked = plugins.iter().find(|consulted| is_it(&consulted.plugin));
        match asked.map(|consulted| &consulted.outcome) {
            Some(Outcome::Late) => return Absence::Late,
            Some(Outcome::Gone) => return Absence::Gone,
            Some(Outcome::Answer | Outcome::Veto(_)) | None => {}
        }
        let mut namesakes =
            self.plugins.values().filter(|plugin| plugin.name.as_ref().is_some_and(is_it)).peekable();
        match namesakes.peek().map(|plugin| &plugin.stage) {
            Some(Stage::Active) => Absence::NotSubscribed,
            Some(Stage::Connected | Stage::Configuring | Stage::Identifying | Stage::Joining(_)) => {
                Absence::Joining
            }
            Some(Stage::Leaving) | None => Absence::NotConnected,
        }
    }
}
