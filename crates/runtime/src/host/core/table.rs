//! Pods and containers, as plugins that join are told. Changed only when a request is through.

use std::collections::{BTreeMap, BTreeSet};

use nri_policy::judge::{Target, Targets};
use nri_wire::api::{Container, ContainerState, PodSandbox, StateChangeEvent};
use nri_wire::event::Event;
use nri_wire::synchronize::{ObjectTooLong, Parts};

use crate::host::identity::{Identity, PodIdentity};

/// The state of the node.
#[derive(Debug, Default)]
pub(super) struct Table {
    pods: BTreeMap<String, PodSandbox>,
    containers: BTreeMap<String, Container>,
}

impl Table {
    pub(super) fn new(pods: Vec<PodSandbox>, containers: Vec<Container>) -> Self {
        let mut table = Self::default();
        pods.into_iter().for_each(|pod| table.put_pod(pod));
        containers.into_iter().for_each(|container| table.put_container(container));
        table
    }

    /// Takes what there is from somebody who knows better. True: plugins that were told what was known before have a
    /// false picture now, since there are other pods or containers, or a container is in another state.
    pub(super) fn replace(&mut self, pods: Vec<PodSandbox>, containers: Vec<Container>) -> bool {
        let before = std::mem::replace(self, Self::new(pods, containers));
        let is_known = |state: ContainerState| state != ContainerState::ContainerUnknown;
        let same_state = |a: &Container, b: &Container| {
            a.state() == b.state() || !is_known(a.state()) || !is_known(b.state())
        };
        !before.pods.keys().eq(self.pods.keys())
            || !before.containers.keys().eq(self.containers.keys())
            || !before.containers.values().zip(self.containers.values()).all(|(a, b)| same_state(a, b))
    }

    pub(super) fn put_pod(&mut self, pod: PodSandbox) {
        self.pods.insert(pod.id.clone(), pod);
    }

    pub(super) fn put_container(&mut self, container: Container) {
        self.containers.insert(container.id.clone(), container);
    }

    /// What an event that went through means for the node. `spec/adaptation.md` 7 has the events.
    pub(super) fn commit(&mut self, notice: &StateChangeEvent) {
        match (notice.event(), &notice.pod, &notice.container) {
            (Event::RemovePodSandbox, Some(pod), _) => {
                self.pods.remove(&pod.id);
                self.containers.retain(|_, container| container.pod_sandbox_id != pod.id);
            }
            (Event::RunPodSandbox, Some(pod), _) => self.put_pod(pod.clone()),
            // One that is not known never ran: its RunPodSandbox failed, and its removal may not follow.
            (Event::PostUpdatePodSandbox | Event::StopPodSandbox, Some(pod), _) => {
                if let Some(known) = self.pods.get_mut(&pod.id) {
                    known.clone_from(pod);
                }
            }
            (Event::RemoveContainer, _, Some(container)) => {
                self.containers.remove(&container.id);
            }
            // Its end may be told after its removal, and must not bring it back.
            (Event::StopContainer, _, Some(container)) if !self.containers.contains_key(&container.id) => {}
            (event, _, Some(container)) => {
                let mut container = container.clone();
                let state = after(event, container.state());
                container.set_state(state);
                self.put_container(container);
            }
            _ => {}
        }
    }

    /// Everything that a plugin has not been told yet, in parts. It counts as told from now on: what happens to it while
    /// the parts go out, the plugin hears afterwards.
    /// `unfinished`: containers that are being created, and count as if they were there.
    pub(super) fn untold(&self, told: &mut Told, unfinished: Vec<Container>) -> Result<Parts, ObjectTooLong> {
        let pods: Vec<_> =
            self.pods.values().filter(|pod| told.pods.insert(pod.id.clone())).cloned().collect();
        let known = self.containers.values().cloned();
        let containers = known.chain(unfinished).filter(|c| told.containers.insert(c.id.clone()));
        Parts::new(pods, containers.collect())
    }
}

/// The state of a container after an event. Engines tell the one before for some.
fn after(event: Event, told: ContainerState) -> ContainerState {
    match (event, told) {
        (Event::PostStartContainer, ContainerState::ContainerUnknown | ContainerState::ContainerCreated) => {
            ContainerState::ContainerRunning
        }
        (Event::StopContainer, _) => ContainerState::ContainerStopped,
        (_, told) => told,
    }
}

impl Table {
    /// Adds the container that an identity's cgroup belongs to, once the runtime has told it.
    pub(super) fn find_pod(&self, identity: &mut Identity) {
        let Some(id) = identity.container_id.as_ref().filter(|_| identity.pod.is_none()) else { return };
        let container = self.containers.get(id);
        let pod = container.map_or(id, |container| &container.pod_sandbox_id);
        identity.pod = self.pods.get(pod).map(|pod| PodIdentity {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            labels: pod.labels.clone(),
            container: container.map(|container| container.name.clone()).unwrap_or_default(),
        });
    }
}

impl Targets for Table {
    fn target(&self, id: &str) -> Option<Target<'_>> {
        let container = self.containers.get(id)?;
        let pod = self.pods.get(&container.pod_sandbox_id);
        Some(Target {
            namespace: pod.map(|pod| pod.namespace.as_str()),
            labels: pod.map(|pod| &pod.labels),
            resources: container.linux.as_ref().and_then(|linux| linux.resources.as_ref()),
        })
    }
}

/// What a plugin that joins has been told, or is being told.
#[derive(Debug, Default)]
pub(super) struct Told {
    pods: BTreeSet<String>,
    containers: BTreeSet<String>,
}

impl Told {
    /// Whether an event is about something that the plugin knows.
    pub(super) fn knows(&self, notice: &StateChangeEvent) -> bool {
        match (&notice.container, &notice.pod) {
            (Some(container), _) => self.containers.contains(&container.id),
            (None, Some(pod)) => self.pods.contains(&pod.id),
            (None, None) => false,
        }
    }
}
