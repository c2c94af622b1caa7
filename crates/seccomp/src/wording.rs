//! Answers and conditions as people read them: `allow when flags & CLONE_NEWUSER == 0`.
//!
//! ```
//! use nri_seccomp::model::{Key, Model, Reading};
//! use nri_seccomp::policy::Policy;
//! use nri_seccomp::settings::{Host, Settings};
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
//!
//! let model = Model::new(Some(&policy), &Host::x86_64(), &Settings::default(), Reading::All)?;
//! let clone = model.abi(Arch::X86_64).group(Key::Number(56)).unwrap();
//! assert_eq!(wording::rules("clone", clone.rules(), Arch::X86_64), ["allow when flags & CLONE_NEWUSER == 0"]);
//! # Ok::<(), nri_seccomp::policy::Invalid>(())
//! ```

use crate::constant::{argument, netlink_protocol};
use crate::model::rule::{Clause, Rule};
use crate::profile::errno_name;
use crate::syscall::Gate;
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
pub fn clause(syscall: &str, clause: &Clause, arch: Arch) -> String {
    let argument = argument(syscall, clause.argument.into(), arch);
    let name = argument.name();
    let value = || called(syscall, clause).map_or_else(|| argument.value(clause.datum), str::to_owned);
    let whole = if arch.is_64() { u64::MAX } else { u64::from(u32::MAX) };
    match clause.operator {
        Operator::MaskedEq if clause.mask != whole => {
            let bits = argument.bits(clause.mask);
            let bits = if bits.contains(" | ") { format!("({bits})") } else { bits };
            format!("{name} & {bits} == {}", argument.value(clause.datum))
        }
        Operator::Eq | Operator::MaskedEq => format!("{name} == {}", value()),
        Operator::Ne => format!("{name} != {}", value()),
        Operator::Lt => format!("{name} < {}", value()),
        Operator::Le => format!("{name} <= {}", value()),
        Operator::Gt => format!("{name} > {}", value()),
        Operator::Ge => format!("{name} >= {}", value()),
    }
}

/// Conditions that must all hold; "always" where there is none.
#[must_use]
pub fn clauses(syscall: &str, clauses: &[Clause], arch: Arch) -> String {
    if clauses.is_empty() {
        return "always".to_owned();
    }
    let is_netlink = clauses.iter().any(|one| {
        (syscall, one.argument, one.operator, one.datum) == ("socket", 0, Operator::Eq, AF_NETLINK)
    });
    let words = clauses.iter().map(|one| match netlink_protocol(one.datum) {
        Some(protocol) if is_netlink && (one.argument, one.operator) == (PROTOCOL, Operator::Eq) => {
            format!("protocol == {protocol}")
        }
        _ => clause(syscall, one, arch),
    });
    words.collect::<Vec<_>>().join(" and ")
}

/// What rules with conditions do, one line an answer: `allow when …`. Rules that differ in one value only share a line.
#[must_use]
pub fn rules(syscall: &str, rules: &[Rule], arch: Arch) -> Vec<String> {
    let mut lines = Vec::new();
    let mut left = rules;
    while let Some(first) = left.first() {
        let alike = left.iter().take_while(|rule| is_alternative(first, rule)).count().max(1);
        let (these, rest) = left.split_at(alike);
        left = rest;
        let mut when = clauses(syscall, &first.clauses, arch);
        let values = these.iter().skip(1).filter_map(|rule| rule.clauses.first());
        let argument = |clause: &Clause| argument(syscall, clause.argument.into(), arch).value(clause.datum);
        let mut values: Vec<String> = values.map(argument).collect();
        if let Some(last) = values.pop() {
            for value in values {
                when.push_str(", ");
                when.push_str(&value);
            }
            when.push_str(" or ");
            when.push_str(&last);
        }
        lines.push(format!("{} when {when}", effect(first.effect, arch)));
    }
    lines
}

/// Whether a rule only adds another value to that of the first.
fn is_alternative(first: &Rule, rule: &Rule) -> bool {
    match (first.clauses.as_slice(), rule.clauses.as_slice()) {
        ([one], [other]) => {
            first.effect == rule.effect
                && one.argument == other.argument
                && (one.operator, other.operator) == (Operator::Eq, Operator::Eq)
        }
        _ => false,
    }
}

/// The syscall behind `socketcall` or `ipc`.
fn called(syscall: &str, clause: &Clause) -> Option<&'static str> {
    let call = u8::try_from(clause.datum).ok().filter(|_| clause.argument == 0)?;
    match syscall {
        "socketcall" => Gate::Socketcall(call).target(),
        "ipc" => Gate::Ipc(call).target(),
        _ => None,
    }
}

const AF_NETLINK: u64 = 16;
/// The argument of `socket` that means something else in each family.
const PROTOCOL: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn one(argument: u8, operator: Operator, datum: u64) -> Clause {
        Clause { argument, operator, mask: u64::MAX, datum }
    }

    fn masked(argument: u8, mask: u64, datum: u64) -> Clause {
        Clause { argument, operator: Operator::MaskedEq, mask, datum }
    }

    #[test]
    fn conditions() {
        for (syscall, conditions, expect) in [
            ("clone", vec![], "always"),
            ("clone", vec![masked(0, 0x1000_0000, 0)], "flags & CLONE_NEWUSER == 0"),
            (
                "clone",
                vec![masked(0, 0x2_0080_1002_0000 | 0x2_0000, 0x1000_0000)],
                "flags & (CLONE_NEWNS | CLONE_NEWUSER | 0x2008000000000) == CLONE_NEWUSER",
            ),
            ("personality", vec![one(0, Operator::Eq, 0x2_0008)], "persona == PER_LINUX32 | UNAME26"),
            (
                "socket",
                vec![one(0, Operator::Eq, 16), one(2, Operator::Eq, 9)],
                "domain == AF_NETLINK and protocol == NETLINK_AUDIT",
            ),
            ("socket", vec![one(2, Operator::Ne, 9)], "protocol != 9"),
            ("socket", vec![one(0, Operator::Lt, 38)], "domain < AF_ALG"),
            ("read", vec![one(2, Operator::Le, 4096)], "arg2 <= 0x1000"),
            ("socket", vec![masked(0, u64::MAX, 1)], "domain == AF_UNIX"),
            ("chmod", vec![masked(1, 0o4000, 0o4000)], "mode & S_ISUID == S_ISUID"),
            (
                "socketcall",
                vec![one(0, Operator::Eq, 1), one(1, Operator::Eq, 2)],
                "call == socket and arg1 == 2",
            ),
            ("ipc", vec![one(0, Operator::Eq, 24)], "call == shmctl"),
        ] {
            assert_eq!(clauses(syscall, &conditions, Arch::X86_64), expect);
        }
    }

    #[test]
    fn alternatives_share_a_line() {
        let rule = |clauses: &[Clause], effect| Rule { clauses: clauses.to_vec(), effect };
        let given = [
            rule(&[one(0, Operator::Eq, 0)], Effect::Allow),
            rule(&[one(0, Operator::Eq, 8)], Effect::Allow),
            rule(&[one(0, Operator::Eq, 0xffff_ffff)], Effect::Allow),
            rule(&[one(0, Operator::Eq, 1)], Effect::Log),
            rule(&[one(0, Operator::Ne, 2)], Effect::Log),
        ];
        assert_eq!(
            rules("personality", &given, Arch::X86_64),
            [
                "allow when persona == PER_LINUX, PER_LINUX32 or 0xffffffff",
                "log when persona == 1",
                "log when persona != 2"
            ]
        );
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
