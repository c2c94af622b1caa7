//! Who watches what the gateway does: metrics, the recording, the list of containers seen.

use std::time::Duration;

use nri_runtime::host::{Created, Failure, Stopped, Told, Updated};
use nri_wire::api::{Container, ContainerUpdate, LinuxResources, PodSandbox};
use nri_wire::event::{Event, display_name};
use nri_wire::name::PluginName;
use tracing::debug;

use super::engine::Lost;

/// Somebody who hears of every request of the engine once its result is known. Called on the task that answers the
/// engine: what takes time goes elsewhere.
pub(crate) trait Observer: Send + Sync {
    /// A request of the engine is through, or has failed.
    fn relayed(&self, relayed: &Relayed<'_>);

    /// The engine has told the state of the node.
    fn synchronized(&self, _pods: &[PodSandbox], _containers: &[Container]) {}

    /// Updates that a plugin asked for on its own account have been carried out, all but so many.
    fn unsolicited(&self, _plugin: &PluginName, _updates: &[ContainerUpdate], _failed: usize) {}
}

/// One request of the engine and what came of it.
pub(crate) struct Relayed<'a> {
    pub(crate) event: Event,
    pub(crate) pod: Option<&'a PodSandbox>,
    /// The container as the engine told it.
    pub(crate) container: Option<&'a Container>,
    /// What an UpdateContainer or UpdatePodSandbox is to set.
    pub(crate) resources: Option<&'a LinuxResources>,
    pub(crate) outcome: Relay<'a>,
    /// From the arrival of the request to its result.
    pub(crate) took: Duration,
    /// What was asked for and this engine does not carry out.
    pub(crate) lost: &'a [Lost],
}

/// What came of a request.
pub(crate) enum Relay<'a> {
    Created(&'a Created),
    Updated(&'a Updated),
    Stopped(&'a Stopped),
    Told(&'a Told),
    Failed(&'a Failure),
}

/// Puts a line per request into the log (`-vv`).
pub(crate) struct Log;

impl Observer for Log {
    fn relayed(&self, relayed: &Relayed<'_>) {
        let (result, plugins) = match &relayed.outcome {
            Relay::Created(Created { plugins, .. })
            | Relay::Updated(Updated { plugins, .. })
            | Relay::Stopped(Stopped { plugins, .. })
            | Relay::Told(Told { plugins }) => ("ok".to_owned(), plugins),
            Relay::Failed(failure) => (failure.cause.to_string(), &failure.plugins),
        };
        debug!(
            pod = relayed.pod.map_or("", |pod| &pod.name),
            container = relayed.container.map_or("", |container| &container.id),
            sets = relayed.resources.is_some(),
            took = ?relayed.took,
            plugins = plugins.len(),
            lost = relayed.lost.len(),
            "{}: {result}",
            display_name(relayed.event),
        );
    }
}
