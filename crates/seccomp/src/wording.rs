//! Answers and conditions as people read them: `allow when flags & CLONE_NEWUSER == 0`.
//!
//! ```
//! use nri_seccomp::policy::Policy;
//! use nri_seccomp::term::Arch;
//! use nri_seccomp::wording;
//! use serde_json::json;
//!
//! let policy = Policy::from_json(&json!({
//!     "defaultAction": "SCMP_ACT_ERRNO",
//!     "syscalls": [{"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [
//!         {"index": 0, "value": 0x1000_0000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
//!     ]}]
//! }))?;
//! assert_eq!(wording::effect(policy.default_effect(), Arch::X86_64), "errno EPERM");
//! let condition = &policy.syscalls[0].args[0];
//! assert_eq!(wording::condition("clone", condition, Arch::X86_64), "flags & CLONE_NEWUSER == 0");
//! # Ok::<(), nri_seccomp::policy::Invalid>(())
//! ```

use crate::constant::{argument, netlink_protocol};
use crate::policy::Condition;
use crate::profile::errno_name;
use crate::term::{Arch, Effect, Operator};

/// What happens to a call, in words.
#[must_use]
pub fn effect(effect: Effect, arch: Arch) -> String {
    match effect {
        Effect::KillProcess => "kill process".to_owned(),
        Effect::KillThread => "kill thread".to_owned(),
        Effect::Trap => "trap".to_owned(),
        Effect::Errno(0) => "errno 0 (pretends success)".to_owned(),
        Effect::Errno(number) => {
            errno_name(arch, number).map_or_else(|| format!("errno {number}"), |name| format!("errno {name}"))
        }
        Effect::Trace(number) => format!("trace {number}"),
        Effect::Allow => "allow".to_owned(),
        Effect::Log => "log".to_owned(),
        Effect::Notify => "notify".to_owned(),
    }
}

/// One condition on an argument of a syscall.
#[must_use]
pub fn condition(syscall: &str, condition: &Condition, arch: Arch) -> String {
    let argument = argument(syscall, condition.index, arch);
    let name = argument.name();
    let value = || argument.value(condition.value);
    match condition.op {
        Operator::Eq => format!("{name} == {}", value()),
        Operator::Ne => format!("{name} != {}", value()),
        Operator::Lt => format!("{name} < {}", value()),
        Operator::Le => format!("{name} <= {}", value()),
        Operator::Gt => format!("{name} > {}", value()),
        Operator::Ge => format!("{name} >= {}", value()),
        Operator::MaskedEq => match condition.value {
            // What `spec/seccomp.md` 1.3 says of it.
            0 => format!("any {name}"),
            u64::MAX => format!("{name} == {}", argument.value(condition.value_two)),
            mask => {
                let bits = argument.bits(mask);
                let bits = if bits.contains(" | ") { format!("({bits})") } else { bits };
                format!("{name} & {bits} == {}", argument.value(condition.value_two & mask))
            }
        },
    }
}

/// Conditions that must all hold; "always" where there is none.
#[must_use]
pub fn all(syscall: &str, conditions: &[&Condition], arch: Arch) -> String {
    if conditions.is_empty() {
        return "always".to_owned();
    }
    let is_netlink =
        conditions.iter().any(|one| (one.index, one.op, one.value) == (0, Operator::Eq, AF_NETLINK));
    let words = conditions.iter().map(|one| {
        if is_netlink
            && (syscall, one.index, one.op) == ("socket", PROTOCOL, Operator::Eq)
            && let Some(protocol) = netlink_protocol(one.value)
        {
            return format!("protocol == {protocol}");
        }
        condition(syscall, one, arch)
    });
    words.collect::<Vec<_>>().join(" and ")
}

const AF_NETLINK: u64 = 16;
/// The argument of `socket` that means something else in each family.
const PROTOCOL: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Extra;

    fn one(index: u32, op: Operator, value: u64, value_two: u64) -> Condition {
        Condition { index, value, value_two, op, extra: Extra::new() }
    }

    #[test]
    fn conditions() {
        for (syscall, conditions, expect) in [
            ("clone", vec![], "always"),
            ("clone", vec![one(0, Operator::MaskedEq, 0x1000_0000, 0)], "flags & CLONE_NEWUSER == 0"),
            (
                "clone",
                vec![one(0, Operator::MaskedEq, 0x0002_0080_0000_0000 | 0x1002_0000, 0x1_1000_0000)],
                "flags & (CLONE_NEWNS | CLONE_NEWUSER | 0x2008000000000) == CLONE_NEWUSER",
            ),
            ("personality", vec![one(0, Operator::Eq, 0x2_0008, 9)], "persona == PER_LINUX32 | UNAME26"),
            (
                "socket",
                vec![one(0, Operator::Eq, 16, 0), one(2, Operator::Eq, 9, 0)],
                "domain == AF_NETLINK and protocol == NETLINK_AUDIT",
            ),
            ("socket", vec![one(2, Operator::Ne, 9, 0)], "protocol != 9"),
            ("socket", vec![one(0, Operator::Lt, 38, 0)], "domain < AF_ALG"),
            ("read", vec![one(2, Operator::Le, 4096, 0)], "arg2 <= 0x1000"),
            ("read", vec![one(2, Operator::MaskedEq, 0, 5)], "any arg2"),
            ("socket", vec![one(0, Operator::MaskedEq, u64::MAX, 1)], "domain == AF_UNIX"),
            ("chmod", vec![one(1, Operator::MaskedEq, 0o4000, 0o4000)], "mode & S_ISUID == S_ISUID"),
        ] {
            let conditions: Vec<&Condition> = conditions.iter().collect();
            assert_eq!(all(syscall, &conditions, Arch::X86_64), expect);
        }
    }

    #[test]
    fn effects() {
        for (given, expect) in [
            (Effect::Errno(1), "errno EPERM"),
            (Effect::Errno(38), "errno ENOSYS"),
            (Effect::Errno(0), "errno 0 (pretends success)"),
            (Effect::Errno(4000), "errno 4000"),
            (Effect::Allow, "allow"),
            (Effect::KillThread, "kill thread"),
            (Effect::Trace(7), "trace 7"),
        ] {
            assert_eq!(effect(given, Arch::X86_64), expect);
        }
    }
}
