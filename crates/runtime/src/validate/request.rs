//! The validation request, and which plugins it says are present.

use std::collections::BTreeMap;

use nri_wire::api::{PluginInstance, ValidateContainerAdjustmentRequest};
use nri_wire::name::PluginName;

use crate::merge::Merged;

/// The pod annotation that names required plugins (`spec/api.md` 13).
pub const REQUIRED_PLUGINS: &str = "required-plugins.noderesource.dev";

/// The request for all validators of one creation. `answered`: the plugins that *answered* CreateContainer for this
/// container, in calling order; the reference lists every plugin that is connected (A10).
///
/// The adjustment has no empty parts, so that a validator that looks at their presence sees changes only.
#[must_use]
pub fn request<'a>(
    merged: &Merged,
    answered: impl IntoIterator<Item = &'a PluginName>,
) -> ValidateContainerAdjustmentRequest {
    ValidateContainerAdjustmentRequest {
        pod: merged.pod.clone(),
        container: Some(merged.pristine.clone()),
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
