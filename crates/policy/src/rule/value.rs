//! What rules look at in the value of a change.

use std::borrow::Cow;

use nri_wire::api::{
    IoPrioClass, LinuxScheduler, LinuxSchedulerFlag, LinuxSchedulerPolicy, Mount, MpolFlag, MpolMode,
};
use nri_wire::field::{Field, Value};

use super::quantity::Amount;
use super::table::{Bounds, Count, Part};
use crate::change::{Change, Subject, comparable};
use crate::path::clean;

/// The value that rules look at: the new one, for a removal the one that goes away.
pub(super) fn looked_at<'c, 'a>(change: &'c Change<'a>) -> Option<&'c Value<'a>> {
    change.after.as_ref().or(change.before.as_ref())
}

/// Whether a mount is a bind mount, whatever its type says.
pub(super) fn is_bind(mount: &Mount) -> bool {
    mount_type(mount) == "bind"
}

/// The type of a mount; `bind` where only its options say so.
pub(super) fn mount_type(mount: &Mount) -> &str {
    let by_option = mount.options.iter().any(|option| option == "bind" || option == "rbind");
    match mount.r#type.as_str() {
        "" | "none" if by_option => "bind",
        kind => kind,
    }
}

/// A text of a change, paths cleaned. `None`: there is no such text, and nothing matches.
pub(super) fn text<'c>(part: Part, change: &'c Change<'_>) -> Option<Cow<'c, str>> {
    if part == Part::Key {
        return Some(match change.subject {
            Subject::Field(field) => comparable(field, &change.key),
            Subject::Unknown => Cow::Borrowed(&*change.key),
        });
    }
    Some(match (part, looked_at(change)?) {
        (Part::Value, Value::Text(text)) if change.subject == Subject::Field(Field::Namespaces) => {
            clean(text)
        }
        (Part::Value, Value::Text(text)) => Cow::Borrowed(*text),
        (Part::Source, Value::Mount(mount)) => clean(&mount.source),
        (Part::MountType, Value::Mount(mount)) => Cow::Borrowed(mount_type(mount)),
        (Part::HookType, Value::Hook(kind, _)) => Cow::Borrowed(*kind),
        (Part::HookPath, Value::Hook(_, hook)) => clean(&hook.path),
        (Part::NewName, Value::NetDevice(device)) => Cow::Borrowed(device.name.as_str()),
        (Part::Argv0, Value::Args(line)) => clean(line.first()?),
        (Part::IoClass, Value::IoPriority(p)) => {
            Cow::Borrowed(IoPrioClass::try_from(p.class).ok()?.as_str_name())
        }
        (Part::SchedulerPolicy, Value::Scheduler(s)) => {
            Cow::Borrowed(LinuxSchedulerPolicy::try_from(s.policy).ok()?.as_str_name())
        }
        (Part::MemoryMode, Value::MemoryPolicy(p)) => {
            Cow::Borrowed(MpolMode::try_from(p.mode).ok()?.as_str_name())
        }
        _ => return None,
    })
}

/// The names of the flags of a value; `None` for one that is not known.
pub(super) fn flags(value: &Value<'_>) -> Option<Vec<Option<&'static str>>> {
    match value {
        Value::Scheduler(LinuxScheduler { flags, .. }) => Some(
            flags
                .iter()
                .map(|flag| LinuxSchedulerFlag::try_from(*flag).ok().map(|flag| flag.as_str_name()))
                .collect(),
        ),
        Value::MemoryPolicy(policy) => Some(
            policy
                .flags
                .iter()
                .map(|flag| MpolFlag::try_from(*flag).ok().map(|flag| flag.as_str_name()))
                .collect(),
        ),
        _ => None,
    }
}

/// The set of CPUs or nodes that a value names, as text.
pub(super) fn ids<'a>(value: &Value<'a>) -> Option<&'a str> {
    match value {
        Value::Text(text) => Some(text),
        Value::MemoryPolicy(policy) => Some(&policy.nodes),
        _ => None,
    }
}

/// The numbers of a value: one, of a resource limit soft and hard. Empty: it has none, and no limit holds.
pub(super) fn amounts(count: Count, field: Field, bounds: Option<Bounds>, value: &Value<'_>) -> Amounts {
    let finite = |number: i128| {
        let unlimited = number < 0 && bounds.is_some_and(|bounds| bounds.negative_is_unlimited);
        if unlimited { Amount::Unlimited } else { Amount::Finite(number) }
    };
    match (count, value) {
        (Count::Value, Value::Int(n)) => Amounts::one(finite((*n).into())),
        (Count::Value, Value::UInt(n)) => Amounts::one(finite((*n).into())),
        (Count::Value, Value::Rlimit(limit)) => {
            Amounts([Some(finite(limit.soft.into())), Some(finite(limit.hard.into()))])
        }
        (Count::Value, Value::Text("max")) if field == Field::Unified => Amounts::one(Amount::Unlimited),
        (Count::Value, Value::Text(text)) => text.parse().map_or(Amounts::NONE, |n| Amounts::one(finite(n))),
        (Count::IoPriority, Value::IoPriority(p)) => Amounts::one(finite(p.priority.into())),
        (Count::Nice, Value::Scheduler(s)) => Amounts::one(finite(s.nice.into())),
        (Count::Priority, Value::Scheduler(s)) => Amounts::one(finite(s.priority.into())),
        _ => Amounts::NONE,
    }
}

/// Up to two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Amounts(pub(super) [Option<Amount>; 2]);

impl Amounts {
    pub(super) const NONE: Self = Self([None, None]);

    pub(super) const fn one(amount: Amount) -> Self {
        Self([Some(amount), None])
    }

    pub(super) const fn is_empty(self) -> bool {
        matches!(self.0, [None, _])
    }
}
