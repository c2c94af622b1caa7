//! What an engine can do with what plugins ask for: what would end it is refused, what it drops is said.

use std::fmt;

use nri_policy::change::{Op, Subject};
use nri_runtime::merge::Attributed;
use nri_wire::api::ContainerAdjustment;
use nri_wire::event::EventMask;
use nri_wire::field::{Field, is_marked};
use nri_wire::name::PluginName;
use nri_wire::version::NriVersion;

/// The engine as it introduced itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Engine {
    /// `containerd`, `cri-o`, `docker`.
    pub(crate) name: String,
    /// As it tells it, with or without a leading `v`.
    pub(crate) version: String,
    /// The NRI version as it tells it; engines before NRI 0.12 tell none.
    pub(crate) told: String,
    /// The NRI version that it has, as far as that can be known.
    pub(crate) nri: Option<NriVersion>,
}

/// A change that the engine takes and does not carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) plugin: PluginName,
    /// The field's name for people, or `evictions`.
    pub(crate) field: &'static str,
    pub(crate) key: String,
    pub(crate) why: &'static str,
}

impl Engine {
    pub(crate) fn new(name: &str, version: &str, told: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            told: told.to_owned(),
            nri: NriVersion::of_runtime(told, name, version),
        }
    }

    /// The NRI version in the form of `0.12.0`, for people.
    pub(crate) fn nri(&self) -> String {
        self.nri
            .map_or_else(|| "unknown".to_owned(), |nri| nri.to_string().trim_start_matches('v').to_owned())
    }

    /// The events to subscribe to. An engine whose version is not known gets all of them first, and fewer after it
    /// has refused those (`attempt` counts the refusals).
    pub(crate) fn events(&self, attempt: u32) -> EventMask {
        let known = self.nri.map_or(EventMask::ALL, NriVersion::events);
        if attempt == 0 { known } else { known.intersection(EventMask::BEFORE_0_10) }
    }

    /// What this engine's process would not survive (`design.md` 4): not sent, so that what runs is what was judged.
    pub(crate) fn refuses(&self, adjust: &ContainerAdjustment) -> Option<String> {
        if self.nri.is_none_or(NriVersion::survives_sysctl_and_errno) {
            return None;
        }
        let linux = adjust.linux.as_ref()?;
        let mut rules = linux.seccomp_policy.iter().flat_map(|policy| &policy.syscalls);
        let what = if !linux.sysctl.is_empty() {
            "a sysctl adjustment"
        } else if rules.any(|rule| rule.errno_ret.is_some()) {
            "a seccomp policy with an errnoRet in a rule"
        } else {
            return None;
        };
        Some(format!("{what} crashes {self}, it needs NRI 0.12"))
    }

    /// The changes of a creation that this engine drops without a word.
    pub(crate) fn loses(&self, changes: &[Attributed]) -> Vec<Lost> {
        changes.iter().filter_map(|change| self.loss(change)).collect()
    }

    fn loss(&self, Attributed { plugin, change }: &Attributed) -> Option<Lost> {
        let (field, why) = match change.subject {
            Subject::Unknown => ("unknown", "a field that this version of the gateway does not know"),
            Subject::Field(field) => (field.name(), self.drops(field, change.op, change.update.is_some())?),
        };
        Some(Lost { plugin: plugin.clone(), field, key: change.key.clone(), why })
    }

    /// Why it drops a change, if it does.
    fn drops(&self, field: Field, op: Op, update: bool) -> Option<&'static str> {
        // Of an engine whose version is not known nothing is said.
        let lacks = |can: &dyn Fn(NriVersion) -> bool| self.nri.is_some_and(|nri| !can(nri));
        match (field, op) {
            _ if self.name == "docker" && (update || !matches!(field, Field::Env | Field::Mounts)) => {
                Some("it carries out env and mounts only, and refuses most creations with more")
            }
            _ if lacks(&|nri| nri.supports(field)) => Some("its NRI is too old for the field"),
            // Quirk D1: no mark of it gets out of the engine's own merge.
            (Field::Env | Field::Devices, Op::Remove) => {
                Some("it does not carry out removals of the client's own")
            }
            (Field::Sysctl, Op::Remove) if lacks(&NriVersion::removes_sysctl) => {
                Some("its NRI does not carry out removals of sysctls")
            }
            _ => None,
        }
    }
}

/// Takes away removal marks of keys that have a value as well: the reference applies the two in random order and loses
/// the value at times (quirks D3, E1). Nobody but the gateway adjusts, so the mark is not needed to take over a key.
pub(crate) fn settle(adjust: &mut ContainerAdjustment) {
    fn values_win<V>(map: &mut std::collections::BTreeMap<String, V>) {
        let both: Vec<String> = map
            .keys()
            .filter(|mark| is_marked(mark).is_some_and(|key| map.contains_key(key)))
            .cloned()
            .collect();
        both.iter().for_each(|mark| drop(map.remove(mark)));
    }
    values_win(&mut adjust.annotations);
    if let Some(linux) = &mut adjust.linux {
        values_win(&mut linux.sysctl);
        values_win(&mut linux.net_devices);
    }
}

impl fmt::Display for Engine {
    /// `containerd/2.3.4`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version.strip_prefix('v').unwrap_or(&self.version))
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.key.is_empty() { String::new() } else { format!(" {}", self.key) };
        write!(f, "{}{key} of plugin {}: {}", self.field, self.plugin, self.why)
    }
}

#[cfg(test)]
mod tests {
    use nri_policy::change::Recorded;
    use nri_wire::api::{LinuxContainerAdjustment, LinuxSeccomp, LinuxSyscall, OptionalUInt32};
    use nri_wire::event::Event;
    use serde_json::Value;

    use super::*;

    #[test]
    fn masks() {
        let mask = |version: &str, attempt| Engine::new("containerd", version, "").events(attempt);
        assert!(mask("v2.2.1", 0).contains(Event::ValidateContainerAdjustment));
        assert_eq!(mask("v1.7.24", 0), EventMask::BEFORE_0_10);
        assert_eq!(mask("mine", 0), EventMask::ALL);
        assert_eq!(mask("mine", 1), EventMask::BEFORE_0_10);
    }

    #[test]
    fn what_crashes_an_engine_is_refused() {
        let sysctl = LinuxContainerAdjustment {
            sysctl: [("a".to_owned(), "b".to_owned())].into(),
            ..LinuxContainerAdjustment::default()
        };
        let rule = LinuxSyscall { errno_ret: Some(OptionalUInt32 { value: 1 }), ..LinuxSyscall::default() };
        let seccomp = LinuxContainerAdjustment {
            seccomp_policy: Some(LinuxSeccomp { syscalls: vec![rule], ..LinuxSeccomp::default() }),
            ..LinuxContainerAdjustment::default()
        };
        for (linux, what) in [(sysctl, "a sysctl adjustment"), (seccomp, "a seccomp policy with an errnoRet")]
        {
            let adjust = ContainerAdjustment { linux: Some(linux), ..ContainerAdjustment::default() };
            let refusal = Engine::new("containerd", "v2.2.7", "").refuses(&adjust).unwrap();
            assert!(refusal.starts_with(what) && refusal.contains("containerd/2.2.7"), "{refusal}");
            assert_eq!(Engine::new("containerd", "v2.3.7", "v0.12.0").refuses(&adjust), None);
        }
    }

    #[test]
    fn what_an_engine_drops() {
        let change = |field, op| Attributed {
            plugin: "10-a".parse().unwrap(),
            change: Recorded {
                update: None,
                subject: Subject::Field(field),
                key: "k".into(),
                op,
                before: Value::Null,
                after: Value::Null,
            },
        };
        let new = Engine::new("containerd", "v2.3.7", "v0.12.0");
        let old = Engine::new("containerd", "v1.7.24", "");
        let docker = Engine::new("docker", "29.1.0", "v0.12.3");
        for (engine, field, op, lost) in [
            (&new, Field::Env, Op::Add, false),
            (&new, Field::Env, Op::Remove, true),
            (&new, Field::Devices, Op::Remove, true),
            (&new, Field::Mounts, Op::Remove, false),
            (&new, Field::Sysctl, Op::Remove, true),
            (&new, Field::MemoryPolicy, Op::Add, false),
            (&old, Field::Args, Op::Replace, true),
            (&old, Field::CpuShares, Op::Add, false),
            (&docker, Field::Env, Op::Add, false),
            (&docker, Field::CpuShares, Op::Add, true),
        ] {
            assert_eq!(!engine.loses(&[change(field, op)]).is_empty(), lost, "{engine} {field:?} {op:?}");
        }
    }

    #[test]
    fn a_value_and_its_mark_leave_as_the_value() {
        let mut adjust = ContainerAdjustment {
            annotations: [("-k", ""), ("k", "v"), ("-gone", "")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            ..ContainerAdjustment::default()
        };
        settle(&mut adjust);
        let keys: Vec<_> = adjust.annotations.keys().map(String::as_str).collect();
        assert_eq!(keys, ["-gone", "k"]);
    }
}
