//! What is said about a policy whatever the verdict (`spec/seccomp.md` 3.6).

use std::collections::BTreeSet;
use std::fmt;

use crate::model::hazard::Hazard;
use crate::model::{Key, Model, Reading};
use crate::policy::Policy;
use crate::settings::{Host, Settings};
use crate::syscall;

/// A syscall whose rules may keep the container from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Which syscall.
    pub syscall: String,
    /// [`Hazard::A`]: the runtime may never end making the filter. [`Hazard::D`]: it may refuse to load it.
    pub hazard: Hazard,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = if self.hazard == Hazard::A { "hang on them" } else { "refuse them" };
        write!(f, "the rules for {} {}; runtimes may {effect}", self.syscall, self.hazard.as_str())
    }
}

/// What may happen to a runtime that loads a policy; nothing where the policy is invalid.
///
/// ```
/// use nri_seccomp::compare::warnings;
/// use nri_seccomp::policy::Policy;
/// use nri_seccomp::settings::{Host, Settings};
/// use serde_json::json;
///
/// let policy = Policy::from_json(&json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
///     {"names": ["keyctl"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "op": "SCMP_CMP_EQ"}]},
///     {"names": ["keyctl"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "op": "SCMP_CMP_EQ"}]}
/// ]}))?;
/// let warnings = warnings(&policy, &Host::x86_64(), &Settings::default());
/// assert_eq!(
///     warnings[0].to_string(),
///     "the rules for keyctl want different actions for the same arguments; runtimes may refuse them"
/// );
/// # Ok::<(), nri_seccomp::policy::Invalid>(())
/// ```
#[must_use]
pub fn warnings(policy: &Policy, host: &Host, settings: &Settings) -> Vec<Warning> {
    let mut found = BTreeSet::new();
    for reading in Reading::of(policy) {
        let Ok(model) = Model::new(Some(policy), host, settings, *reading) else { return Vec::new() };
        for arch in model.archs() {
            for (key, group) in model.abi(arch).groups() {
                let hazards = group.hazards();
                for hazard in [Hazard::A, Hazard::D].into_iter().filter(|hazard| hazards.contains(*hazard)) {
                    let name = match key {
                        Key::Number(nr) => syscall::name(arch, nr).unwrap_or("a system call").to_owned(),
                        Key::Name(name) => name.to_owned(),
                    };
                    found.insert((name, hazard));
                }
            }
        }
    }
    found.into_iter().map(|(syscall, hazard)| Warning { syscall, hazard }).collect()
}
