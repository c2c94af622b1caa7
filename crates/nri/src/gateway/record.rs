//! The recording as one of those who watch. What plugins ask for by themselves it gets from the host, as it came.

use nri_wire::api::{Container, PodSandbox};
use nri_wire::event::Event;

use super::observe::{Observer, Relay, Relayed};
use crate::record::Recorder;

impl Observer for Recorder {
    fn relayed(&self, relayed: &Relayed<'_>) {
        let (pod, container, resources) = (relayed.pod, relayed.container, relayed.resources);
        match (&relayed.outcome, relayed.event) {
            (Relay::Created(created), _) => self.created(pod, container, None, Ok(created)),
            (Relay::Updated(updated), _) => self.updated(pod, container, resources, Ok(updated)),
            (Relay::Stopped(stopped), _) => self.stopped(pod, container, Ok(stopped)),
            (Relay::Failed(failure), Event::CreateContainer) => {
                self.created(pod, container, None, Err(failure));
            }
            (Relay::Failed(failure), Event::UpdateContainer) => {
                self.updated(pod, container, resources, Err(failure));
            }
            (Relay::Failed(failure), Event::StopContainer) => self.stopped(pod, container, Err(failure)),
            (Relay::Told(_) | Relay::Failed(_), _) => {}
        }
    }

    fn synchronized(&self, pods: &[PodSandbox], containers: &[Container]) {
        Self::synchronized(self, pods, containers);
    }
}
