//! Why an adjustment was not applied.

use std::fmt;

use nri_wire::field::Field;

use super::mount::Propagation;
use super::resolver::Failure;
use super::spec::SpecError;

/// Why an adjustment was not applied. The spec is untouched in every case.
#[derive(Debug)]
#[non_exhaustive]
pub enum ApplyError {
    /// The caller's OCI spec, or what a CDI injector made of it, is not one.
    Spec(SpecError),
    /// The adjustment says something that no OCI spec can say: the plugins' fault.
    Invalid {
        /// The field.
        field: Field,
        /// Its key, where it has keys.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// Somebody would have to resolve a name and nobody is there who can: the embedder's or the administrator's matter.
    Unresolved {
        /// The field.
        field: Field,
        /// The name: of a class, of a device.
        name: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// One of the embedder's callbacks refused or failed.
    Refused {
        /// The field that it was asked about; `None` for the resources as a whole.
        field: Option<Field>,
        /// Its reason.
        source: Failure,
    },
    /// A mount shall propagate and its source lies on a mount that does not.
    Propagation {
        /// The mount's source.
        source: String,
        /// What the mount asks for.
        wanted: Propagation,
        /// What the mount below the source has; `None` where no mount was found for it.
        found: Option<Propagation>,
    },
}

impl From<SpecError> for ApplyError {
    fn from(error: SpecError) -> Self {
        Self::Spec(error)
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec(error) => error.fmt(f),
            Self::Invalid { field, key, why } if key.is_empty() => {
                write!(f, "apply {field}: invalid, {why}")
            }
            Self::Invalid { field, key, why } => write!(f, "apply {field} {key:?}: invalid, {why}"),
            Self::Unresolved { field, name, remedy } => {
                write!(f, "apply {field} {name:?}: nothing here resolves it; {remedy}")
            }
            Self::Refused { field: Some(field), source } => write!(f, "apply {field}: {source}"),
            Self::Refused { field: None, source } => write!(f, "apply resources: {source}"),
            Self::Propagation { source, wanted, found: None } => {
                write!(f, "apply mounts: no mount found below {source:?}, which shall be {wanted}")
            }
            Self::Propagation { source, wanted, found: Some(found) } => {
                write!(
                    f,
                    "apply mounts: {source:?} lies on a mount that is {found}, it shall be {wanted}; "
                )?;
                f.write_str("make the mount on the host shared or the plugin's mount private")
            }
        }
    }
}

impl std::error::Error for ApplyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}
