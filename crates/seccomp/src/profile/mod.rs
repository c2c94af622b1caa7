//! Files that hold a policy, whatever their form: `linux.seccomp` of the OCI runtime spec by itself (or `null`, no
//! policy), a whole `config.json`, and the profiles of Docker, Podman, Buildah and CRI-O, whose rules depend on
//! architecture, kernel and capabilities (`spec/seccomp.md` 4).
//!
//! Reading is strict: what one reader could take for another thing than the next (a member that stands twice, a number
//! that is none) is refused, with its position.
//!
//! ```
//! use nri_seccomp::profile::{self, Target};
//!
//! let docker = br#"{
//!   "defaultAction": "SCMP_ACT_ERRNO",
//!   "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
//!   "syscalls": [
//!     {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
//!     {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF"]}}
//!   ]
//! }"#;
//! let mut target = Target::new(nri_seccomp::term::Arch::X86_64);
//! let policy = profile::read(docker, &target)?.unwrap();
//! assert_eq!((policy.architectures.len(), policy.syscalls.len()), (2, 1));
//!
//! target.add_capability("BPF");
//! assert_eq!(profile::read(docker, &target)?.unwrap().syscalls.len(), 2);
//!
//! let error = profile::read(br#"{"defaultAction": "ALLOW"}"#, &target).unwrap_err();
//! assert_eq!(error.to_string(), "defaultAction: unknown action \"ALLOW\" at line 1, column 19");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod conditional;
mod errno;
mod json;
mod shape;
mod target;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;

use crate::policy::{Invalid, Policy, Reason};

pub use errno::{errno_name, errno_number};
pub use json::{BYTES, Position, parse};
pub use target::{DEFAULT_CAPABILITIES, Kernel, Target, UnknownKernel};

/// Reads a file of any form. `None` where it holds no policy.
///
/// What is read is also [checked](Policy::check); of a profile with conditions that goes for the entries that do not count
/// for this target as well.
///
/// # Errors
/// [`Unreadable`]: it says whether this is no policy at all, or one that no runtime would load.
pub fn read(bytes: &[u8], target: &Target) -> Result<Option<Policy>, Unreadable> {
    from_value(parse(bytes)?, target).map_err(|unreadable| unreadable.located(bytes))
}

/// As [`read`], for a value that is already there (one of a larger document, which [`parse`] reads). Errors have no
/// position then.
///
/// # Errors
/// As [`read`].
pub fn from_value(value: Value, target: &Target) -> Result<Option<Policy>, Unreadable> {
    match value {
        Value::Null => Ok(None),
        Value::Object(mut object) => {
            if is_config(&object) {
                // The only set that counts for this container.
                let target = &target.with_bounding_set(&object);
                return match object.shift_remove("linux") {
                    None | Some(Value::Null) => Ok(None),
                    Some(Value::Object(mut linux)) => {
                        let seccomp = linux.shift_remove("seccomp").unwrap_or(Value::Null);
                        one(seccomp, target).map_err(|invalid| invalid.within("linux.seccomp").into())
                    }
                    Some(_) => Err(Invalid::at("linux", Reason::Type("an object")).into()),
                };
            }
            one(Value::Object(object), target).map_err(Unreadable::from)
        }
        _ => Err(Invalid::at("", Reason::Type("an object or null")).into()),
    }
}

/// A policy by itself, with or without conditions.
fn one(value: Value, target: &Target) -> Result<Option<Policy>, Invalid> {
    if value.is_null() {
        return Ok(None);
    }
    shape::check(&value)?;
    if conditional::is(&value) {
        return conditional::resolve(value, target).map(Some);
    }
    let policy = Policy::from_value(value)?;
    policy.check()?;
    Ok(Some(policy))
}

/// Whether this is a container's `config.json`, which has these members and not those of a policy.
fn is_config(object: &serde_json::Map<String, Value>) -> bool {
    ["ociVersion", "linux", "process", "root"].iter().any(|member| object.contains_key(*member))
        && !object.contains_key("defaultAction")
}

/// Why there is no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Where the fault stands in the text, where there is one.
    pub position: Option<Position>,
    /// The fault.
    pub fault: Fault,
}

/// What kind of fault it is: the command line tells them apart (`spec/seccomp.md` 7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not JSON, or more than a policy can be: too large, too deep, a member that stands twice.
    Json(String),
    /// A value of another JSON type than the member has.
    Type(Invalid),
    /// A policy in form, but one that means nothing: an unknown word, a member that is missing.
    Invalid(Invalid),
}

impl Unreadable {
    /// The fault of a policy that is one in form: a verdict for those who compare, not bad input.
    #[must_use]
    pub fn invalid(&self) -> Option<&Invalid> {
        if let Fault::Invalid(invalid) = &self.fault { Some(invalid) } else { None }
    }

    fn located(mut self, text: &[u8]) -> Self {
        if let Fault::Type(invalid) | Fault::Invalid(invalid) = &self.fault {
            self.position = Some(json::locate(text, &invalid.path));
        }
        self
    }
}

impl From<Invalid> for Unreadable {
    fn from(invalid: Invalid) -> Self {
        let fault =
            if let Reason::Type(_) = invalid.reason { Fault::Type(invalid) } else { Fault::Invalid(invalid) };
        Self { position: None, fault }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            Fault::Json(message) => f.write_str(message)?,
            Fault::Type(invalid) | Fault::Invalid(invalid) => invalid.fmt(f)?,
        }
        self.position.map_or(Ok(()), |position| write!(f, " at {position}"))
    }
}

impl std::error::Error for Unreadable {}
