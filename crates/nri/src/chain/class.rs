//! What the client asked for as a seccomp profile. No OCI spec says it (`policy.md` 5, "class").

use nri_wire::api::security_profile::ProfileType;
use nri_wire::api::{Container, SecurityProfile};
use serde::Deserialize;
use serde_json::Value;

/// A class of profiles, as a flag and in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SeccompClass {
    /// The runtime's default.
    RuntimeDefault,
    /// A profile of the client's own.
    Localhost,
    /// None.
    Unconfined,
    /// None, whatever profile was asked for.
    Privileged,
}

impl SeccompClass {
    /// Says in `about` what the client asked for. A spec that is of another class all the same is warned of.
    pub(crate) fn tell(self, spec: &Value, about: &mut Container) {
        let has_policy = spec.pointer("/linux/seccomp").is_some_and(|policy| !policy.is_null());
        let (kind, wants_policy) = match self {
            Self::RuntimeDefault => (ProfileType::RuntimeDefault, true),
            Self::Localhost => (ProfileType::Localhost, true),
            Self::Unconfined => (ProfileType::Unconfined, false),
            Self::Privileged => (ProfileType::RuntimeDefault, false),
        };
        if has_policy != wants_policy {
            let found = if has_policy { "has a seccomp policy" } else { "has no seccomp policy" };
            tracing::warn!("the spec {found}, which does not go with the seccomp class {self:?}");
        }
        let profile = SecurityProfile { profile_type: kind.into(), ..Default::default() };
        about.linux.get_or_insert_default().seccomp_profile = Some(profile);
    }
}

#[cfg(test)]
mod tests {
    use nri_policy::rule::seccomp::Class;
    use nri_runtime::oci::describe;
    use serde_json::json;

    use super::*;

    /// The class that a judge finds is the one that was said.
    #[test]
    fn classes() {
        let with = json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}});
        for (class, spec, expect) in [
            (SeccompClass::RuntimeDefault, &with, Class::RuntimeDefault),
            (SeccompClass::Localhost, &with, Class::Localhost),
            (SeccompClass::Unconfined, &json!({}), Class::Unconfined),
            (SeccompClass::Privileged, &json!({}), Class::Privileged),
            // What does not go together.
            (SeccompClass::Unconfined, &with, Class::Unknown),
            (SeccompClass::Localhost, &json!({}), Class::Privileged),
        ] {
            let mut about = Container::default();
            class.tell(spec, &mut about);
            let container = describe(spec, about).unwrap();
            assert_eq!(Class::of(&container, false).0, expect, "{class:?} {spec}");
        }
    }
}
