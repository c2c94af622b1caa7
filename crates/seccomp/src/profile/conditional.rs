//! Profiles whose rules depend on the container: Docker's form and that of containers/common (Podman, Buildah, CRI-O),
//! which also names error numbers (`spec/seccomp.md` 4, "Resolution").

use serde_json::Value;

use super::errno::errno_number;
use super::target::Target;
use crate::members::{Members, term, text};
use crate::policy::{Entry, Extra, Invalid, Policy, Reason};
use crate::term::{Arch, UnknownTerm};

const PROFILE: &[&str] = &["archMap", "architectures", "defaultErrno", "syscalls"];
const ENTRY: &[&str] = &["name", "names", "errno", "includes", "excludes"];
const ARCHITECTURE: &[&str] = &["architecture", "subArchitectures"];
const CONDITION: &[&str] = &["caps", "arches", "minKernel"];

/// Whether a policy has a member that only these forms have.
pub(super) fn is(policy: &Value) -> bool {
    let has = |value: &Value, names: &[&str]| names.iter().any(|name| value.get(name).is_some());
    let entries = policy.get("syscalls").and_then(Value::as_array);
    has(policy, &["archMap", "defaultErrno"])
        || entries.is_some_and(|entries| {
            entries.iter().any(|entry| has(entry, &["name", "errno", "includes", "excludes"]))
        })
}

/// What is left of the profile for one target.
pub(super) fn resolve(profile: Value, target: &Target) -> Result<Policy, Invalid> {
    let mut members = Members::of(profile, PROFILE)?;
    let map = members.list("archMap", Architecture::from_value)?;
    let errno = members.optional("defaultErrno", text)?;
    let entries = members.list("syscalls", Rule::from_value)?;
    let mut policy = Policy::from_value(members.rest().into())?;

    if !map.is_empty() {
        if !policy.architectures.is_empty() {
            return Err(Invalid::at("archMap", Reason::Beside("architectures")));
        }
        policy.architectures = map
            .into_iter()
            .find(|entry| entry.main == target.arch)
            .map(Architecture::all)
            .unwrap_or_default();
    }
    policy.default_errno = numbered(errno, target, policy.default_errno)
        .map_err(|reason| Invalid::at("defaultErrno", reason))?;

    // All of them are checked, those that do not count for this target as well, while their places are those of the file.
    let mut counts = Vec::with_capacity(entries.len());
    for (at, mut rule) in entries.into_iter().enumerate() {
        rule.entry.errno = numbered(rule.errno.take(), target, rule.entry.errno)
            .map_err(|reason| Invalid::at(format!("syscalls[{at}].errno"), reason))?;
        counts.push(rule.includes.all(target) && !rule.excludes.any(target));
        policy.syscalls.push(rule.entry);
    }
    policy.check()?;
    let mut counts = counts.into_iter();
    policy.syscalls.retain(|_| counts.next() == Some(true));
    Ok(policy)
}

/// The number of an error's name, which goes before the number that stands beside it.
fn numbered(name: Option<String>, target: &Target, number: Option<u32>) -> Result<Option<u32>, Reason> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(number) };
    errno_number(target.arch, &name)
        .map(|number| Some(number.into()))
        .ok_or(Reason::Term(UnknownTerm { kind: "error name", word: name }))
}

struct Architecture {
    main: Arch,
    others: Vec<Arch>,
}

impl Architecture {
    fn from_value(value: Value) -> Result<Self, Invalid> {
        let mut members = Members::of(value, ARCHITECTURE)?;
        Ok(Self {
            main: members.required("architecture", term)?,
            others: members.list("subArchitectures", term)?,
        })
    }

    fn all(self) -> Vec<Arch> {
        [vec![self.main], self.others].concat()
    }
}

/// An entry with what it depends on.
struct Rule {
    entry: Entry,
    errno: Option<String>,
    includes: Condition,
    excludes: Condition,
}

impl Rule {
    fn from_value(value: Value) -> Result<Self, Invalid> {
        let mut members = Members::of(value, ENTRY)?;
        let name = members.optional("name", text)?.filter(|name| !name.is_empty());
        let errno = members.optional("errno", text)?;
        let includes = members.optional("includes", Condition::from_value)?.unwrap_or_default();
        let excludes = members.optional("excludes", Condition::from_value)?.unwrap_or_default();
        let mut entry = Entry::from_value(members.rest().into())?;
        if let Some(name) = name {
            if !entry.names.is_empty() {
                return Err(Invalid::at("name", Reason::Beside("names")));
            }
            entry.names.push(name);
        }
        Ok(Self { entry, errno, includes, excludes })
    }
}

/// What a rule depends on; an empty one says nothing.
#[derive(Default)]
struct Condition {
    caps: Vec<String>,
    arches: Vec<String>,
    kernel: Option<super::Kernel>,
}

impl Condition {
    fn from_value(value: Value) -> Result<Self, Invalid> {
        let mut members = Members::of(value, CONDITION)?;
        let caps = members.list("caps", text)?;
        let arches = members.list("arches", text)?;
        let kernel = members.optional("minKernel", |value| {
            text(value)?
                .parse()
                .map_err(|_| Invalid::at("", Reason::Type("a kernel version such as \"4.8\"")))
        })?;
        // One that we do not understand would decide about the rule.
        let rest: Extra = members.rest();
        match rest.keys().next() {
            Some(unknown) => Err(Invalid::at(unknown, Reason::Unknown)),
            None => Ok(Self { caps, arches, kernel }),
        }
    }

    /// As `includes`: all capabilities, the architecture, the kernel.
    fn all(&self, target: &Target) -> bool {
        self.caps.iter().all(|cap| target.has_capability(cap))
            && (self.arches.is_empty() || self.arches.iter().any(|arch| target.is_called(arch)))
            && self.kernel.is_none_or(|least| target.kernel.is_none_or(|kernel| kernel >= least))
    }

    /// As `excludes`: one of them is enough.
    fn any(&self, target: &Target) -> bool {
        self.caps.iter().any(|cap| target.has_capability(cap))
            || self.arches.iter().any(|arch| target.is_called(arch))
            || self.kernel.is_some_and(|least| target.kernel.is_none_or(|kernel| kernel >= least))
    }
}
