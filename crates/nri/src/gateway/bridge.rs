//! What the host asks of the engine, and of the gateway in its place.

use std::sync::Arc;

use nri_runtime::host::{Asking, Callback, Embedder, Given, Identity, Judgement};
use nri_runtime::validate::Rejection;
use nri_wire::api::{
    ContainerAdjustment, ContainerEviction, ContainerUpdate, PodSandbox, ValidateContainerAdjustmentRequest,
};
use nri_wire::limits::MESSAGE_MAX;
use nri_wire::name::PluginName;
use nri_wire::restrictions::RestrictionsResponse;
use prost::Message as _;

use super::Gateway;
use super::limits::FRAMING;
use crate::audit::About;

/// Stands for the engine towards the host.
pub(super) struct Bridge {
    gateway: Arc<Gateway>,
}

impl Bridge {
    pub(super) fn new(gateway: &Arc<Gateway>) -> Self {
        Self { gateway: Arc::clone(gateway) }
    }
}

impl Embedder for Bridge {
    fn update<'a>(
        &'a self,
        asking: Asking<'a>,
        updates: Vec<ContainerUpdate>,
    ) -> Callback<'a, Vec<ContainerUpdate>> {
        Box::pin(self.gateway.updates.ask(asking.plugin, updates, Vec::new(), !asking.in_call))
    }

    fn evict<'a>(&'a self, asking: Asking<'a>, evictions: Vec<ContainerEviction>) -> Callback<'a, ()> {
        Box::pin(async move {
            drop(self.gateway.updates.ask(asking.plugin, Vec::new(), evictions, false).await);
        })
    }

    fn asked(&self, plugin: &PluginName, given: &Given) {
        if let Some(recorder) = &self.gateway.recorder {
            recorder.asked(plugin, given);
        }
    }

    fn judged(&self, plugin: &PluginName, synchronizing: bool, judgement: &Judgement) {
        let (policies, engine) = (self.gateway.lock.now(), self.gateway.engine());
        self.gateway.audit.judged(&About::unasked(synchronizing, &policies, &engine), plugin, judgement);
    }

    fn restrictions(&self, plugin: &PluginName, identity: &Identity) -> Option<RestrictionsResponse> {
        self.gateway.lock.now().restrictions(plugin, identity)
    }

    fn validate(&self, request: &ValidateContainerAdjustmentRequest) -> Result<(), Rejection> {
        self.gateway.validator.validate(request)?;
        if let Some(reason) = too_long(request) {
            return Err(Rejection::Other(reason));
        }
        let Some(adjust) = &request.adjust else { return Ok(()) };
        let link = self.gateway.link.borrow();
        let refusal = link.engine.as_ref().and_then(|engine| engine.refuses(adjust));
        refusal.map_or(Ok(()), |refusal| Err(Rejection::Other(refusal)))
    }

    fn admit_pod(
        &self,
        pod: &PodSandbox,
        answered: &[PluginName],
        connected: &[PluginName],
    ) -> Result<(), Rejection> {
        self.gateway.validator.admit_pod(pod, answered, connected)
    }
}

/// Each plugin's answer fits into a message; all of them together may not, and the engine would be told nothing but a
/// number of bytes.
fn too_long(request: &ValidateContainerAdjustmentRequest) -> Option<String> {
    let updates: usize = request.update.iter().map(|update| update.encoded_len() + FRAMING).sum();
    let length = request.adjust.as_ref().map_or(0, ContainerAdjustment::encoded_len) + updates;
    if length + FRAMING <= MESSAGE_MAX {
        return None;
    }
    let names = request.plugins.iter().map(|plugin| format!("{}-{}", plugin.index, plugin.name));
    let names: Vec<_> = names.collect();
    Some(format!(
        "what {} ask for takes {length} bytes together, and the engine takes {MESSAGE_MAX}",
        names.join(", ")
    ))
}
