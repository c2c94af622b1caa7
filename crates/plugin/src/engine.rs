//! What engines can do, and what they would crash on (`design.md` 4): such an answer is not sent.

use std::fmt;

use nri_wire::api::CreateContainerResponse;
use nri_wire::event::Event;
use nri_wire::field::Field;
use nri_wire::version::NriVersion;

use crate::session::Runtime;

/// Something that not every runtime can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Feature {
    /// Carries out adjustments of this field.
    Field(Field),
    /// Sends this event.
    Event(Event),
    /// Carries out the removal of a sysctl, NRI 0.12.3.
    SysctlRemoval,
    /// Answers [`update_containers`](crate::Session::update_containers) while a handler runs, NRI 0.12.1.
    UpdatesFromHandlers,
    /// Honours [`failure_policy`](crate::Builder::failure_policy), NRI 0.12.4.
    FailurePolicy,
}

impl Feature {
    pub(crate) fn is_in(self, version: NriVersion) -> bool {
        match self {
            // The engine does not survive it.
            Self::Field(Field::Sysctl) if !version.survives_sysctl_and_errno() => false,
            Self::Field(field) => version.supports(field),
            Self::Event(event) => version.events().contains(event),
            Self::SysctlRemoval => version.removes_sysctl(),
            Self::UpdatesFromHandlers => version.takes_updates_at_any_time(),
            Self::FailurePolicy => version >= NriVersion::new(0, 12, 4),
        }
    }
}

impl From<Field> for Feature {
    fn from(field: Field) -> Self {
        Self::Field(field)
    }
}

impl From<Event> for Feature {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

/// A field that this runtime would crash on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    what: &'static str,
    runtime: String,
}

/// Refuses what the runtime would crash on. One whose version is not known is taken to be up to date.
pub(crate) fn check(runtime: &Runtime, answer: &CreateContainerResponse) -> Result<(), Refusal> {
    if runtime.nri.is_none_or(NriVersion::survives_sysctl_and_errno) {
        return Ok(());
    }
    let Some(linux) = answer.adjust.as_ref().and_then(|adjust| adjust.linux.as_ref()) else { return Ok(()) };
    let rules = linux.seccomp_policy.iter().flat_map(|policy| &policy.syscalls);
    let what = if !linux.sysctl.is_empty() {
        Field::Sysctl.name()
    } else if rules.into_iter().any(|rule| rule.errno_ret.is_some()) {
        "seccomp with an errnoRet in a rule"
    } else {
        return Ok(());
    };
    Err(Refusal { what, runtime: runtime.to_string() })
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} crashes {}; it needs NRI 0.12", self.what, self.runtime)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Adjustment;
    use crate::seccomp::{Action, Rule, Seccomp};

    #[test]
    fn features() {
        let version = |minor, patch| NriVersion::new(0, minor, patch);
        for (feature, without, with) in [
            (Field::MemoryPolicy.into(), version(11, 0), version(12, 0)),
            (Field::Seccomp.into(), version(9, 0), version(10, 0)),
            (Field::Sysctl.into(), version(11, 0), version(12, 0)),
            (Event::UpdatePodSandbox.into(), version(9, 1), version(10, 0)),
            (Feature::SysctlRemoval, version(12, 2), version(12, 3)),
            (Feature::UpdatesFromHandlers, version(12, 0), version(12, 1)),
            (Feature::FailurePolicy, version(12, 3), version(12, 4)),
        ] {
            assert!(!feature.is_in(without) && feature.is_in(with), "{feature:?}");
        }
    }

    #[test]
    fn what_crashes_an_engine_is_not_sent() {
        let runtime = |nri| Runtime {
            name: "containerd".to_owned(),
            version: "v2.2.1".to_owned(),
            nri,
            ..Runtime::default()
        };
        let old = runtime(Some(NriVersion::new(0, 11, 0)));
        let policy = |action| Seccomp::new(Action::Allow).rule(Rule::new(action, ["mkdir"]));
        for (answer, refused) in [
            (
                Adjustment::new().set_sysctl("a", "b"),
                Some("sysctl crashes containerd v2.2.1 (NRI v0.11.0); it needs NRI 0.12"),
            ),
            (
                Adjustment::new().seccomp(policy(Action::Errno(1))),
                Some(
                    "seccomp with an errnoRet in a rule crashes containerd v2.2.1 (NRI v0.11.0); it needs NRI 0.12",
                ),
            ),
            (Adjustment::new().seccomp(policy(Action::KillThread)), None),
            (Adjustment::new().add_env("A", "b"), None),
        ] {
            let message = answer.into_message().unwrap();
            let text = check(&old, &message).err().map(|refusal| refusal.to_string());
            assert_eq!(text.as_deref(), refused);
            assert_eq!(check(&runtime(Some(NriVersion::CURRENT)), &message), Ok(()));
            assert_eq!(check(&runtime(None), &message), Ok(()));
        }
    }
}
