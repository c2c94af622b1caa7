//! The built-in default validator (`spec/adaptation.md` 11). Off unless somebody makes one.

use std::collections::BTreeMap;
use std::fmt;

use nri_policy::annotation::{REQUIRED_PLUGINS, effective, effective_for_pod, list, truth};
use nri_wire::api::security_profile::ProfileType;
use nri_wire::api::{FieldOwners, PodSandbox, ValidateContainerAdjustmentRequest};
use nri_wire::field::{Field, is_marked};
use nri_wire::name::PluginName;

use super::request::present;

/// The options of the default validator; what is not set is not checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefaultValidator {
    /// `rejectOCIHookAdjustment`
    pub reject_hooks: bool,
    /// `rejectRuntimeDefaultSeccompAdjustment`
    pub reject_runtime_default_seccomp: bool,
    /// `rejectUnconfinedSeccompAdjustment`; also holds where the container's profile is not known.
    pub reject_unconfined_seccomp: bool,
    /// `rejectCustomSeccompAdjustment`
    pub reject_custom_seccomp: bool,
    /// `rejectNamespaceAdjustment`
    pub reject_namespaces: bool,
    /// `rejectSysctlAdjustment`; unlike in the reference removals count (A11).
    pub reject_sysctl: bool,
    /// `requiredPlugins`: names with or without index.
    pub required_plugins: Vec<String>,
    /// `tolerateMissingPluginsAnnotation`: a pod annotation; empty: none.
    pub tolerate_missing_annotation: String,
}

/// Why the default validator rejects. The texts are the reference's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// Hooks were added by these plugins.
    Hooks(String),
    /// The seccomp policy was set by this plugin, for a container with this kind of profile.
    Seccomp(String, &'static str),
    /// Namespaces were changed: plugin and type.
    Namespaces(Vec<(String, String)>),
    /// Plugins that are required and did not answer.
    Missing(Vec<String>),
    /// Sysctls were changed: plugin and name.
    Sysctl(Vec<(String, String)>),
    /// An annotation cannot be read: key, value, why.
    Annotation(String, String, String),
    /// For a reason of the embedding runtime's own, in its words.
    Other(String),
}

impl DefaultValidator {
    /// Checks one merged adjustment.
    ///
    /// # Errors
    /// The first check that fails, in the reference's order.
    pub fn validate(&self, request: &ValidateContainerAdjustmentRequest) -> Result<(), Rejection> {
        let none = FieldOwners::default();
        let id = request.container.as_ref().map_or("", |container| container.id.as_str());
        let owners = request.owners.as_ref().and_then(|owning| owning.owners.get(id)).unwrap_or(&none);
        if request.adjust.is_some() {
            self.hooks(owners)?;
            self.seccomp(request, owners)?;
            self.namespaces(owners)?;
        }
        self.required(request)?;
        self.sysctl(request, owners)
    }

    /// Checks a pod that is to run: required plugins alone. `answered` as in [`Embedder::admit_pod`].
    ///
    /// The reference looks at containers only; a pod that its plugins have not seen is refused before its containers are.
    ///
    /// # Errors
    /// Plugins are missing, or an annotation cannot be read.
    ///
    /// [`Embedder::admit_pod`]: crate::host::Embedder::admit_pod
    pub fn admit_pod(&self, pod: &PodSandbox, answered: &[PluginName]) -> Result<(), Rejection> {
        let annotation = |key: &str| effective_for_pod(&pod.annotations, key);
        self.missing(annotation, |required| {
            answered.iter().any(|name| name.full() == required || name.base() == required)
        })
    }

    fn hooks(&self, owners: &FieldOwners) -> Result<(), Rejection> {
        match simple(owners, Field::Hooks) {
            Some(by) if self.reject_hooks => Err(Rejection::Hooks(by.to_owned())),
            _ => Ok(()),
        }
    }

    /// The rule depends on the profile of the container before any adjustment.
    fn seccomp(
        &self,
        request: &ValidateContainerAdjustmentRequest,
        owners: &FieldOwners,
    ) -> Result<(), Rejection> {
        let Some(by) = simple(owners, Field::Seccomp) else { return Ok(()) };
        let profile = request
            .container
            .as_ref()
            .and_then(|container| container.linux.as_ref())
            .and_then(|linux| linux.seccomp_profile.as_ref());
        let (rejects, kind) = match profile.map(|p| ProfileType::try_from(p.profile_type)) {
            None | Some(Ok(ProfileType::Unconfined)) => (self.reject_unconfined_seccomp, "unconfined"),
            Some(Ok(ProfileType::RuntimeDefault)) => (self.reject_runtime_default_seccomp, "runtime default"),
            Some(Ok(ProfileType::Localhost)) => (self.reject_custom_seccomp, "custom"),
            // A kind that we do not know: under every rule.
            Some(Err(_)) => (
                self.reject_unconfined_seccomp
                    || self.reject_runtime_default_seccomp
                    || self.reject_custom_seccomp,
                "unknown",
            ),
        };
        if rejects { Err(Rejection::Seccomp(by.to_owned(), kind)) } else { Ok(()) }
    }

    fn namespaces(&self, owners: &FieldOwners) -> Result<(), Rejection> {
        let changed: Vec<_> = compound(owners, Field::Namespaces)
            .into_iter()
            .flatten()
            .map(|(kind, by)| (by.clone(), kind.clone()))
            .collect();
        if self.reject_namespaces && !changed.is_empty() {
            return Err(Rejection::Namespaces(changed));
        }
        Ok(())
    }

    fn required(&self, request: &ValidateContainerAdjustmentRequest) -> Result<(), Rejection> {
        let nothing = PodSandbox::default();
        let annotations = &request.pod.as_ref().unwrap_or(&nothing).annotations;
        let container = request.container.as_ref().map_or("", |container| container.name.as_str());
        let present = present(&request.plugins);
        self.missing(|key| effective(annotations, key, container), |required| present.contains_key(required))
    }

    /// `annotation`: what holds for the container or pod under a key. `present`: whether a plugin counts.
    fn missing<'a>(
        &self,
        annotation: impl Fn(&str) -> Option<&'a str>,
        present: impl Fn(&str) -> bool,
    ) -> Result<(), Rejection> {
        let bad = |key: &str, value: &str, why: &str| {
            Rejection::Annotation(key.to_owned(), value.to_owned(), why.to_owned())
        };
        let key = self.tolerate_missing_annotation.as_str();
        if !key.is_empty()
            && let Some(value) = annotation(key)
            && truth(value).ok_or_else(|| bad(key, value, "not a boolean"))?
        {
            return Ok(());
        }
        let asked = match annotation(REQUIRED_PLUGINS) {
            Some(value) => list(value).map_err(|why| bad(REQUIRED_PLUGINS, value, why))?,
            None => Vec::new(),
        };
        let mut missing: Vec<String> = Vec::new();
        for name in self.required_plugins.iter().chain(&asked) {
            if !present(name) && !missing.contains(name) {
                missing.push(name.clone());
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(Rejection::Missing(missing)) }
    }

    /// Values by their owners; marks by the adjustment alone, since a removal of the client's value has no owner (A11).
    fn sysctl(
        &self,
        request: &ValidateContainerAdjustmentRequest,
        owners: &FieldOwners,
    ) -> Result<(), Rejection> {
        let Some(linux) = request.adjust.as_ref().and_then(|adjust| adjust.linux.as_ref()) else {
            return Ok(());
        };
        if !self.reject_sysctl {
            return Ok(());
        }
        let owners = compound(owners, Field::Sysctl);
        let owner = |key: &str| owners.and_then(|owners| owners.get(key));
        let mut changed = BTreeMap::new();
        for key in linux.sysctl.keys() {
            match is_marked(key) {
                Some(key) => {
                    let by = owner(key).map_or("unknown", |by| by.strip_prefix('-').unwrap_or(by));
                    changed.insert(key.to_owned(), by.to_owned());
                }
                None => {
                    if let Some(by) = owner(key) {
                        changed.insert(key.clone(), by.clone());
                    }
                }
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        Err(Rejection::Sysctl(changed.into_iter().map(|(key, by)| (by, key)).collect()))
    }
}

fn simple(owners: &FieldOwners, field: Field) -> Option<&str> {
    owners.simple.get(&field.number()?).map(String::as_str)
}

fn compound(owners: &FieldOwners, field: Field) -> Option<&BTreeMap<String, String>> {
    owners.compound.get(&field.number()?).map(|compound| &compound.owners)
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = |pairs: &[(String, String)]| {
            pairs.iter().map(|(by, key)| format!("{by:?} ({key})")).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Hooks(by) => {
                let plural = if by.contains(',') { "s" } else { "" };
                write!(f, "validation error: plugin{plural} {by:?} attempted restricted OCI hook injection")
            }
            Self::Seccomp(by, kind) => write!(
                f,
                "validation error: plugin {by:?} attempted restricted {kind} seccomp policy adjustment"
            ),
            Self::Namespaces(changed) => {
                write!(f, "validation error: attempted restricted namespace adjustment by {}", pairs(changed))
            }
            Self::Sysctl(changed) => {
                write!(f, "validation error: attempted restricted sysctl adjustment by {}", pairs(changed))
            }
            Self::Missing(names) => {
                let plural = if names.len() == 1 { "" } else { "s" };
                write!(f, "validation error: required plugin{plural} {:?} not present", names.join(","))
            }
            Self::Other(reason) => f.write_str(reason),
            Self::Annotation(key, value, why) => write!(f, "invalid {key} annotation {value:?}: {why}"),
        }
    }
}

impl std::error::Error for Rejection {}
