//! The default validator of our own hosts: the embedder that asks it (`spec/adaptation.md` 11, `policy.md` 7).

use std::sync::{Arc, PoisonError, RwLock};

use nri_runtime::host::Embedder;
use nri_runtime::validate::{DefaultValidator, Rejection};
use nri_wire::api::{PodSandbox, ValidateContainerAdjustmentRequest};
use nri_wire::name::PluginName;

/// A validator whose options may change while a host asks it. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Validator {
    /// Held for a clone or a replacement only.
    options: Arc<RwLock<Arc<DefaultValidator>>>,
}

impl Validator {
    pub(crate) fn new(options: impl Into<DefaultValidator>) -> Self {
        Self { options: Arc::new(RwLock::new(Arc::new(options.into()))) }
    }

    /// Takes other options from the next request on.
    pub(crate) fn replace(&self, options: impl Into<DefaultValidator>) {
        let options = Arc::new(options.into());
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = options;
    }

    fn options(&self) -> Arc<DefaultValidator> {
        Arc::clone(&self.options.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Embedder for Validator {
    fn validate(&self, request: &ValidateContainerAdjustmentRequest) -> Result<(), Rejection> {
        self.options().validate(request)
    }

    fn admit_pod(
        &self,
        pod: &PodSandbox,
        answered: &[PluginName],
        _connected: &[PluginName],
    ) -> Result<(), Rejection> {
        self.options().admit_pod(pod, answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Options change while clones are in use.
    #[test]
    fn replaced_options_hold_at_once() {
        let validator = Validator::default();
        let used = validator.clone();
        let pod = PodSandbox::default();
        assert_eq!(used.admit_pod(&pod, &[], &[]), Ok(()));
        let required_plugins = vec!["a".to_owned()];
        validator.replace(DefaultValidator { required_plugins, ..DefaultValidator::default() });
        assert_eq!(used.admit_pod(&pod, &[], &[]), Err(Rejection::Missing(vec!["a".to_owned()])));
        validator.replace(DefaultValidator::default());
        assert_eq!(used.admit_pod(&pod, &[], &[]), Ok(()));
    }
}
