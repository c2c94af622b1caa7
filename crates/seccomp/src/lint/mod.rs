//! What an administrator should know about a policy although it is no offence (`spec/seccomp.md` 6).
//!
//! ```
//! use nri_seccomp::lint::lints;
//! use nri_seccomp::policy::{Entry, Policy};
//! use nri_seccomp::settings::{Host, Settings};
//! use nri_seccomp::term::Action;
//!
//! let mut policy = Policy::new(Action::Errno);
//! policy.syscalls.push(Entry::new(["read", "raed"], Action::Allow));
//! let found: Vec<String> = lints(&policy, &Host::x86_64(), &Settings::default())?.iter().map(ToString::to_string).collect();
//! assert_eq!(found, ["syscalls[0].names[1]: no ABI has a syscall raed, so that it has no effect"]);
//! # Ok::<(), nri_seccomp::policy::Invalid>(())
//! ```

#[cfg(test)]
mod tests;
mod width;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::decision::ARGUMENTS;
use crate::model::group::Group;
use crate::model::hazard::Hazard;
use crate::model::{Key, Model, Reading};
use crate::policy::{Condition, Entry, Invalid, Policy, doubled};
use crate::settings::{Host, Runtime, Settings};
use crate::syscall;
use crate::term::{Action, Arch, Effect, Operator};

/// More warnings than this are not given.
pub const MOST: usize = 1_000;

/// A warning and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    /// Where: `syscalls[3].args[0]`.
    pub path: String,
    /// What.
    pub warning: Warning,
}

/// What is worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The default action lets calls be made: what no rule names is allowed, syscalls of future kernels too.
    Denylist,
    /// An ABI beside the native one: every call can be made on it as well.
    ExtraAbi(Arch),
    /// The call is not made, and the program believes that it was.
    PretendedSuccess,
    /// The entry does what the default action does, so that runtimes drop it.
    EqualsDefault,
    /// The number beside an action without one; crun refuses the policy.
    StrayNumber,
    /// No ABI has a syscall of this name.
    UnknownName(String),
    /// Another entry answers every call of this syscall, so that this one has no effect on it.
    Hidden {
        /// The syscall.
        syscall: String,
        /// The position of the other entry.
        by: usize,
    },
    /// Two conditions on this argument: each condition of the entry is a rule of its own, any of which is enough.
    DoubledArgument(u32),
    /// crun reads the first six conditions only.
    ManyConditions(usize),
    /// The condition always holds; with `narrow_only` on 32-bit ABIs.
    ZeroMask {
        /// Whether the mask has bits in its upper half.
        narrow_only: bool,
    },
    /// The datum has bits outside the mask, which are ignored.
    DatumOutsideMask,
    /// The kernel takes the low 32 bits of this argument, the filter compares 64: other upper bits pass.
    WideComparison {
        /// The syscall.
        syscall: String,
        /// Which argument.
        argument: u32,
    },
    /// Conditions on this call do not hold where it is made through `socketcall` or `ipc`.
    BehindGate {
        /// The syscall.
        syscall: String,
        /// How else it is made.
        gate: &'static str,
        /// An ABI of the filter that has it.
        arch: Arch,
    },
    /// Rules that libseccomp does not compile reliably.
    Hazard {
        /// The syscall; `None` for all that this ABI has.
        syscall: Option<String>,
        /// What it is.
        hazard: Hazard,
        /// One ABI where it is so.
        arch: Arch,
    },
    /// More conditional rules than a kernel can load.
    TooComplex {
        /// The syscall.
        syscall: String,
        /// How many.
        rules: usize,
    },
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.warning)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denylist => f.write_str("what no rule names is allowed, syscalls of future kernels too"),
            Self::ExtraAbi(arch) => write!(f, "{arch} opens a second door to every call"),
            Self::PretendedSuccess => f.write_str(
                "error number 0 does not make the call, and the program believes that it was made",
            ),
            Self::EqualsDefault => f.write_str("this is the default action, so that the entry has no effect"),
            Self::StrayNumber => f.write_str("the action takes no number; crun refuses it"),
            Self::UnknownName(name) => write!(f, "no ABI has a syscall {name}, so that it has no effect"),
            Self::Hidden { syscall, by } => {
                write!(f, "syscalls[{by}] answers every call of {syscall}, so that this has no effect on it")
            }
            Self::DoubledArgument(index) => {
                write!(f, "argument {index} has two conditions, so that any condition of the entry is enough")
            }
            Self::ManyConditions(count) => write!(f, "of these {count} conditions crun reads the first six"),
            Self::ZeroMask { narrow_only: false } => {
                f.write_str("a mask of 0 makes the condition hold always")
            }
            Self::ZeroMask { narrow_only: true } => {
                f.write_str("on 32-bit ABIs this mask is 0 and the condition holds always")
            }
            Self::DatumOutsideMask => f.write_str("bits of valueTwo outside the mask are ignored"),
            Self::WideComparison { syscall, argument } => write!(
                f,
                "the kernel takes 32 bits of argument {argument} of {syscall}, and other upper bits pass this condition; list the allowed values instead"
            ),
            Self::BehindGate { syscall, gate, arch } => {
                write!(
                    f,
                    "the conditions on {syscall} do not hold on {arch} when it is called through {gate}"
                )
            }
            Self::Hazard { syscall, hazard, arch } => {
                let what = hazard.as_str();
                match syscall {
                    Some(syscall) => write!(f, "the rules for {syscall} {what}")?,
                    None => write!(f, "all rules {what}")?,
                }
                write!(f, "; libseccomp does not compile that reliably on {arch}")?;
                f.write_str(match hazard {
                    Hazard::A => ", and may never end",
                    Hazard::D => ", and mostly refuses it",
                    _ => "",
                })
            }
            Self::TooComplex { syscall, rules } => {
                write!(f, "no kernel takes {rules} conditional rules for {syscall}")
            }
        }
    }
}

/// The warnings of a policy, in its order, those about all rules of a syscall last; the first [`MOST`] of them.
///
/// # Errors
/// The policy is invalid, which is more than a warning.
pub fn lints(policy: &Policy, host: &Host, settings: &Settings) -> Result<Vec<Lint>, Invalid> {
    let model = Model::new(Some(policy), host, settings, Reading::All)?;
    let mut lints = Lints { policy, model: &model, settings, found: Vec::new() };
    lints.head(host);
    let unconditional = lints.unconditional();
    for (at, entry) in policy.syscalls.iter().enumerate() {
        lints.entry(at, entry);
        lints.names(at, entry, &unconditional);
    }
    lints.groups();
    Ok(lints.found)
}

struct Lints<'p> {
    policy: &'p Policy,
    model: &'p Model<'p>,
    settings: &'p Settings,
    found: Vec<Lint>,
}

impl<'p> Lints<'p> {
    fn warn(&mut self, path: impl Into<String>, warning: Warning) {
        if self.found.len() < MOST {
            self.found.push(Lint { path: path.into(), warning });
        }
    }

    fn head(&mut self, host: &Host) {
        if matches!(self.policy.default_effect(), Effect::Allow | Effect::Log) {
            self.warn("defaultAction", Warning::Denylist);
        }
        if self.policy.default_effect() == Effect::Errno(0) {
            self.warn("defaultErrnoRet", Warning::PretendedSuccess);
        }
        for (at, arch) in self.policy.architectures.iter().enumerate() {
            if *arch != host.native() && host.archs().contains(arch) {
                self.warn(format!("architectures[{at}]"), Warning::ExtraAbi(*arch));
            }
        }
    }

    /// The first entry that answers every call of a name on every ABI.
    fn unconditional(&self) -> BTreeMap<&'p str, usize> {
        let mut first = BTreeMap::new();
        let entries = self.kept().filter(|(_, entry)| self.is_unconditional(entry));
        for (at, entry) in entries {
            for name in &entry.names {
                first.entry(name.as_str()).or_insert(at);
            }
        }
        first
    }

    fn is_kept(&self, entry: &Entry) -> bool {
        entry.effect() != self.policy.default_effect()
    }

    fn is_unconditional(&self, entry: &Entry) -> bool {
        // The operands of `MASKED_EQ` are the other way round there.
        self.settings.runtime != Runtime::Youki && entry.is_unconditional() || entry.args.is_empty()
    }

    fn entry(&mut self, at: usize, entry: &Entry) {
        let path = format!("syscalls[{at}]");
        if !self.is_kept(entry) {
            self.warn(format!("{path}.action"), Warning::EqualsDefault);
        }
        if entry.effect() == Effect::Errno(0) {
            self.warn(format!("{path}.errnoRet"), Warning::PretendedSuccess);
        }
        if entry.errno.is_some() && !matches!(entry.action, Action::Errno | Action::Trace) {
            self.warn(format!("{path}.errnoRet"), Warning::StrayNumber);
        }
        if entry.args.len() > ARGUMENTS {
            self.warn(format!("{path}.args"), Warning::ManyConditions(entry.args.len()));
        }
        if let Some(index) = doubled(&entry.args) {
            self.warn(format!("{path}.args"), Warning::DoubledArgument(index));
        }
        let masked = entry.args.iter().enumerate().filter(|(_, arg)| arg.op == Operator::MaskedEq);
        for (arg, condition) in masked {
            let (mask, datum) = match self.settings.runtime {
                Runtime::Youki => (condition.value_two, condition.value),
                Runtime::Plain | Runtime::Runc => (condition.value, condition.value_two),
            };
            if mask & 0xffff_ffff == 0 {
                self.warn(format!("{path}.args[{arg}]"), Warning::ZeroMask { narrow_only: mask != 0 });
            } else if datum & !mask != 0 {
                self.warn(format!("{path}.args[{arg}]"), Warning::DatumOutsideMask);
            }
        }
    }

    fn names(&mut self, at: usize, entry: &Entry, unconditional: &BTreeMap<&str, usize>) {
        if !self.is_kept(entry) {
            return;
        }
        let mut seen = BTreeSet::new();
        for (turn, name) in entry.names.iter().enumerate().filter(|(_, name)| seen.insert(name.as_str())) {
            let path = format!("syscalls[{at}].names[{turn}]");
            let Some(row) = syscall::row(name) else {
                self.warn(path, Warning::UnknownName(name.clone()));
                continue;
            };
            if let Some(by) = unconditional.get(name.as_str()).copied().filter(|by| *by != at) {
                self.warn(path, Warning::Hidden { syscall: name.clone(), by });
                continue;
            }
            if let Some(gate) = row.gate.filter(|_| !entry.args.is_empty())
                && let Some(arch) = self.model.archs().find(|arch| gate.is_on(*arch))
            {
                let warning = Warning::BehindGate { syscall: name.clone(), gate: gate.name(), arch };
                self.warn(path, warning);
            }
            if matches!(entry.effect(), Effect::Allow | Effect::Log) {
                self.wide_comparisons(at, &entry.args, name);
            }
        }
    }

    fn wide_comparisons(&mut self, at: usize, args: &[Condition], name: &str) {
        if !self.model.archs().any(Arch::is_64) {
            return;
        }
        for (arg, condition) in args.iter().enumerate() {
            let open_above = matches!(condition.op, Operator::Ne | Operator::Gt | Operator::Ge);
            if open_above && width::is_narrow(name, condition.index) {
                let warning = Warning::WideComparison { syscall: name.to_owned(), argument: condition.index };
                self.warn(format!("syscalls[{at}].args[{arg}]"), warning);
            }
        }
    }

    /// Each warning about a syscall once, for the first ABI that has it.
    fn groups(&mut self) {
        let first = self.first_entries();
        let mut said = BTreeSet::new();
        for arch in self.model.archs().collect::<Vec<_>>() {
            for (key, group) in self.model.abi(arch).groups() {
                if !group.is_too_complex() && group.hazards().is_empty() {
                    continue;
                }
                let name = name(arch, key);
                for (subject, warning) in warnings(arch, &name, &group) {
                    let about =
                        if subject == Some(Hazard::E) { arch.as_str().to_owned() } else { name.to_string() };
                    if said.insert((about, subject)) {
                        let place = match subject {
                            Some(Hazard::E) => self.first_lacking(arch),
                            _ => first.get(&*name).copied(),
                        };
                        let path = place.map_or("syscalls".to_owned(), |at| format!("syscalls[{at}]"));
                        self.warn(path, warning);
                    }
                }
            }
        }
    }

    fn kept(&self) -> impl Iterator<Item = (usize, &'p Entry)> {
        self.policy.syscalls.iter().enumerate().filter(|(_, entry)| self.is_kept(entry))
    }

    /// The first entry with a rule for a name, also where it comes from a name behind a gate.
    fn first_entries(&self) -> BTreeMap<&'p str, usize> {
        let mut first = BTreeMap::new();
        for (at, entry) in self.kept() {
            for name in &entry.names {
                first.entry(name.as_str()).or_insert(at);
                if let Some(gate) = syscall::row(name).and_then(|row| row.gate) {
                    first.entry(gate.name()).or_insert(at);
                }
            }
        }
        first
    }

    /// The first entry with a syscall that exists, but not on this ABI.
    fn first_lacking(&self, arch: Arch) -> Option<usize> {
        // x86_64 and x32 are one table (`spec/seccomp.md` 1.5 E).
        let joint = if arch == Arch::X86_64 { Arch::X32 } else { arch };
        let lacks = |name: &String| {
            syscall::row(name).is_some_and(|row| row.number(arch).and(row.number(joint)).is_none())
        };
        self.kept().find(|(_, entry)| entry.names.iter().any(lacks)).map(|(at, _)| at)
    }
}

fn name<'m>(arch: Arch, key: Key<'m>) -> Cow<'m, str> {
    match key {
        Key::Number(number) => {
            syscall::name(arch, number).map_or_else(|| number.to_string().into(), Cow::Borrowed)
        }
        Key::Name(name) => name.into(),
    }
}

/// What is to be said of all rules of a syscall; without a letter where they are too many.
fn warnings(arch: Arch, name: &str, group: &Group<'_>) -> Vec<(Option<Hazard>, Warning)> {
    if group.is_too_complex() {
        return vec![(None, Warning::TooComplex { syscall: name.to_owned(), rules: group.rule_count() })];
    }
    let hazards = group.hazards().iter();
    hazards
        .map(|hazard| {
            let syscall = (hazard != Hazard::E).then(|| name.to_owned());
            (Some(hazard), Warning::Hazard { syscall, hazard, arch })
        })
        .collect()
}
