//! What a policy says on one ABI, sorted by what happens: for people who read it.
//!
//! ```
//! use nri_seccomp::model::{Model, Reading};
//! use nri_seccomp::outline::Outline;
//! use nri_seccomp::policy::{Entry, Policy};
//! use nri_seccomp::settings::{Host, Settings};
//! use nri_seccomp::term::{Action, Arch, Effect};
//!
//! let mut policy = Policy::new(Action::Errno);
//! policy.syscalls.push(Entry::new(["write", "read", "chown32", "raed"], Action::Allow));
//! let model = Model::new(Some(&policy), &Host::x86_64(), &Settings::default(), Reading::All)?;
//! let outline = Outline::new(&policy, &model, Arch::X86_64);
//! assert_eq!(outline.always[&Effect::Allow], ["read", "write"]);
//! assert_eq!(outline.absent, ["chown32"]);
//! assert_eq!(outline.unknown, ["raed"]);
//! # Ok::<(), nri_seccomp::policy::Invalid>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::model::group::Group;
use crate::model::{Key, Model};
use crate::policy::Policy;
use crate::syscall;
use crate::term::{Arch, Effect};
use crate::wording;

/// What a policy says on one ABI. Every name of the policy stands in one place, names in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline<'p> {
    /// The ABI.
    pub arch: Arch,
    /// What happens to a call that no rule answers; on an ABI that the filter does not have, to every call.
    pub default: Effect,
    /// Syscalls with one answer whatever their arguments are, by that answer.
    pub always: BTreeMap<Effect, Vec<&'p str>>,
    /// Syscalls whose answer depends on arguments, with it in words, a line an answer: `allow when flags & 4 == 0`. The
    /// default stands where none of them holds.
    pub depends: Vec<(&'p str, Vec<String>)>,
    /// Syscalls whose entries all say what the default action says, which makes them nothing.
    pub repeats: Vec<&'p str>,
    /// Syscalls that the ABI does not have.
    pub absent: Vec<&'p str>,
    /// Names that no ABI has.
    pub unknown: Vec<&'p str>,
}

impl<'p> Outline<'p> {
    /// Sorts what the policy says on one ABI. The model must be of the same policy.
    #[must_use]
    pub fn new(policy: &'p Policy, model: &Model<'_>, arch: Arch) -> Self {
        let abi = model.abi(arch);
        let mut outline = Self {
            arch,
            default: abi.unnamed(0),
            always: BTreeMap::new(),
            depends: Vec::new(),
            repeats: Vec::new(),
            absent: Vec::new(),
            unknown: Vec::new(),
        };
        if !abi.is_in_filter() {
            return outline;
        }
        let mut names: BTreeSet<&str> =
            policy.syscalls.iter().flat_map(|entry| &entry.names).map(String::as_str).collect();
        for gate in ["ipc", "socketcall"] {
            if syscall::number(arch, gate).is_some_and(|number| abi.group(Key::Number(number)).is_some()) {
                names.insert(gate);
            }
        }
        for name in names {
            let Some(row) = syscall::row(name) else {
                outline.unknown.push(name);
                continue;
            };
            let Some(number) = row.number(arch) else {
                outline.absent.push(name);
                continue;
            };
            match abi.group(Key::Number(number)) {
                None => outline.repeats.push(name),
                Some(group) => match group.constant() {
                    Some(effect) => outline.always.entry(effect).or_default().push(name),
                    None => outline.depends.push((name, lines(name, &group, arch))),
                },
            }
        }
        outline
    }
}

/// What a group says, in words, a line an answer.
#[must_use]
pub fn lines(syscall: &str, group: &Group<'_>, arch: Arch) -> Vec<String> {
    if let Some(effect) = group.constant() {
        return vec![wording::effect(effect, arch)];
    }
    if group.is_too_complex() {
        return vec![format!("{} rules with conditions, more than a kernel loads", group.rule_count())];
    }
    if group.rules().is_empty() {
        // Hazard E with an unconditional rule: what the rules say is not what happens.
        let effects: Vec<String> = group.effects().map(|effect| wording::effect(effect, arch)).collect();
        return vec![format!("{}, which one is not certain", effects.join(" or "))];
    }
    wording::rules(syscall, group.rules(), arch)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Reading;
    use crate::settings::{Host, Settings};

    #[test]
    fn every_name_has_its_place() {
        let policy = Policy::from_json(&json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "architectures": ["SCMP_ARCH_X86"],
            "syscalls": [
                {"names": ["read", "chown32", "nothing", "read"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
                {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
                {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
                // The unconditional rule decides.
                {"names": ["ioctl"], "action": "SCMP_ACT_LOG"},
                {"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 1, "value": 1, "op": "SCMP_CMP_EQ"}]}
            ]
        }))
        .unwrap();
        let model = Model::new(Some(&policy), &Host::x86_64(), &Settings::default(), Reading::All).unwrap();
        let outline = Outline::new(&policy, &model, Arch::X86_64);
        let always = [
            (Effect::Allow, vec!["read"]),
            (Effect::Errno(38), vec!["clone3"]),
            (Effect::Log, vec!["ioctl"]),
        ];
        assert_eq!(outline.always, BTreeMap::from(always));
        assert_eq!(outline.depends, [("socket", vec!["allow when domain == AF_UNIX".to_owned()])]);
        assert_eq!(
            (outline.repeats, outline.absent, outline.unknown),
            (vec!["bpf"], vec!["chown32"], vec!["nothing"])
        );

        let outline = Outline::new(&policy, &model, Arch::X86);
        assert_eq!(
            outline.depends,
            [
                ("socket", vec!["allow when domain == AF_UNIX".to_owned()]),
                ("socketcall", vec!["allow when call == socket".to_owned()])
            ]
        );
        let outline = Outline::new(&policy, &model, Arch::X32);
        assert_eq!((outline.default, outline.always.len()), (Effect::KillThread, 0));
    }
}
