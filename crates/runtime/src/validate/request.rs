//! The validation request, and which plugins it says are present.

use std::collections::BTreeMap;

use nri_wire::api::{PluginInstance, ValidateContainerAdjustmentRequest};
use nri_wire::name::PluginName;

use crate::merge::Merged;

/// The request for all validators of one creation. `answered`: the plugins that *answered* CreateContainer for this
/// container, in calling order; the reference lists every plugin that is connected (A10).
///
/// The adjustment has no empty parts, so that a validator that looks at their presence sees changes only.
#[must_use]
pub fn request<'a>(
    merged: &Merged,
    answered: impl IntoIterator<Item = &'a PluginName>,
) -> ValidateContainerAdjustmentRequest {
    let (pod, container) = (merged.pod.clone(), Some(merged.pristine.clone()));
    ValidateContainerAdjustmentRequest { pod, container, ..but_pod_and_container(merged, answered) }
}

/// The same, with pod and container taken out of what was merged: they are large, and seldom needed twice.
/// [`take_back`] returns them.
pub(crate) fn lend<'a>(
    merged: &mut Merged,
    answered: impl IntoIterator<Item = &'a PluginName>,
) -> ValidateContainerAdjustmentRequest {
    let (pod, container) = (merged.pod.take(), Some(std::mem::take(&mut merged.pristine)));
    ValidateContainerAdjustmentRequest { pod, container, ..but_pod_and_container(merged, answered) }
}

/// Undoes [`lend`].
pub(crate) fn take_back(merged: &mut Merged, request: ValidateContainerAdjustmentRequest) {
    merged.pod = request.pod;
    merged.pristine = request.container.unwrap_or_default();
}

fn but_pod_and_container<'a>(
    merged: &Merged,
    answered: impl IntoIterator<Item = &'a PluginName>,
) -> ValidateContainerAdjustmentRequest {
    ValidateContainerAdjustmentRequest {
        pod: None,
        container: None,
        adjust: Some((*merged.adjust).clone()),
        update: merged.updates.clone(),
        owners: Some(merged.ledger.owners()),
        plugins: answered
            .into_iter()
            .map(|name| PluginInstance { name: name.base().to_owned(), index: name.index().to_owned() })
            .collect(),
    }
}

/// The plugins of a request by the two names under which one may be required: `name` and `NN-name` (`spec/api.md` 11).
#[must_use]
pub fn present(plugins: &[PluginInstance]) -> BTreeMap<String, &PluginInstance> {
    plugins
        .iter()
        .flat_map(|plugin| {
            [(plugin.name.clone(), plugin), (format!("{}-{}", plugin.index, plugin.name), plugin)]
        })
        .collect()
}
