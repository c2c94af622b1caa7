//! `process`: environment, command line, I/O priority, scheduler, resource limits.

use nri_wire::api::{IoPrioClass, LinuxIoPriority, LinuxScheduler, LinuxSchedulerFlag, LinuxSchedulerPolicy};
use nri_wire::field::{self, Entry, Field};
use serde_json::{Map, Value, json};

use super::error::ApplyError;
use super::keyed::{Wishes, check_keys, key_of, put_member};
use super::spec::{Spec, SpecError, TEXT};

/// Variables keep their place, new ones come last; those that no entry names stay as they are, doubled ones and
/// those without `=` too (quirk E8, `spec/README.md` correction 11).
pub(super) fn env(spec: &mut Spec, entries: &[Entry<'_>]) -> Result<(), ApplyError> {
    // With "A=B" for a name, "A" would be set, past every check that was made of "A=B".
    if let Some(entry) = entries.iter().find(|entry| entry.key.contains('=')) {
        return Err(ApplyError::Invalid {
            field: entry.field,
            key: entry.key.to_owned(),
            why: "the name of a variable has no '='".to_owned(),
        });
    }
    // The reference ignores variables without a name.
    let wishes = Wishes::new(
        entries.iter().filter(|entry| !entry.key.is_empty()).map(|entry| (entry.key, entry.value.clone())),
    );
    let pointer = Field::Env.info().oci;
    let Some(list) = wishes.list(spec, pointer)? else { return Ok(()) };
    if let Some((index, other)) = list.iter().enumerate().find(|(_, element)| !element.is_string()) {
        return Err(SpecError::new(format!("{pointer}/{index}"), TEXT, other).into());
    }
    wishes.patch(list, variable, |element, name, value| {
        if let field::Value::Text(value) = value {
            *element = Value::String(format!("{name}={value}"));
        }
    });
    Ok(())
}

/// The name of a variable.
fn variable(element: &Value) -> Option<&str> {
    let text = element.as_str()?;
    Some(text.split_once('=').map_or(text, |(name, _)| name))
}

/// Replaces the command line. A leading empty string belongs to it: the mark of `spec/api.md` 4.3 is gone once
/// answers are merged.
pub(super) fn args(spec: &mut Spec, entries: &[Entry<'_>]) -> Result<(), ApplyError> {
    for entry in entries {
        if let Some(field::Value::Args(args)) = entry.value {
            spec.put(entry.field.info().oci, args)?;
        }
    }
    Ok(())
}

pub(super) fn io_priority(spec: &mut Spec, entries: &[Entry<'_>]) -> Result<(), ApplyError> {
    for entry in entries {
        let Some(field::Value::IoPriority(LinuxIoPriority { class, priority })) = entry.value else {
            continue;
        };
        let pointer = entry.field.info().oci;
        match IoPrioClass::try_from(*class) {
            Ok(IoPrioClass::IoprioClassNone) => spec.remove(pointer)?,
            Ok(class) => spec.put(pointer, json!({"class": class.as_str_name(), "priority": priority}))?,
            Err(_) => return Err(unknown(entry.field, "class", *class)),
        }
    }
    Ok(())
}

pub(super) fn scheduler(spec: &mut Spec, entries: &[Entry<'_>]) -> Result<(), ApplyError> {
    for entry in entries {
        let Some(field::Value::Scheduler(scheduler)) = entry.value else { continue };
        let pointer = entry.field.info().oci;
        match LinuxSchedulerPolicy::try_from(scheduler.policy) {
            Ok(LinuxSchedulerPolicy::SchedNone) => spec.remove(pointer)?,
            Ok(policy) => spec.put(pointer, attributes(policy, scheduler)?)?,
            Err(_) => return Err(unknown(entry.field, "policy", scheduler.policy)),
        }
    }
    Ok(())
}

fn attributes(policy: LinuxSchedulerPolicy, scheduler: &LinuxScheduler) -> Result<Value, ApplyError> {
    let LinuxScheduler { policy: _, nice, priority, flags, runtime, deadline, period } = scheduler;
    let mut map = Map::from_iter([("policy".to_owned(), policy.as_str_name().into())]);
    let mut number = |name: &str, is_set: bool, value: Value| {
        if is_set {
            map.insert(name.to_owned(), value);
        }
    };
    number("nice", *nice != 0, (*nice).into());
    number("priority", *priority != 0, (*priority).into());
    let flags = names(Field::Scheduler, flags, |n| {
        LinuxSchedulerFlag::try_from(n).ok().map(|flag| flag.as_str_name())
    })?;
    number("flags", !flags.is_empty(), flags.into());
    number("runtime", *runtime != 0, (*runtime).into());
    number("deadline", *deadline != 0, (*deadline).into());
    number("period", *period != 0, (*period).into());
    Ok(Value::Object(map))
}

/// One entry a type, as the OCI specification demands (quirks D8, E5).
pub(super) fn rlimits(spec: &mut Spec, entries: &[Entry<'_>]) -> Result<(), ApplyError> {
    let wishes = Wishes::of(entries);
    let pointer = Field::Rlimits.info().oci;
    let list = spec.list(pointer)?;
    check_keys(list, pointer, "type")?;
    wishes.patch(
        list,
        |element| key_of(element, "type"),
        |element, _, value| {
            if let field::Value::Rlimit(limit) = value {
                put_member(element, "type", limit.r#type.as_str());
                put_member(element, "hard", limit.hard);
                put_member(element, "soft", limit.soft);
            }
        },
    );
    Ok(())
}

/// The names of flags.
pub(super) fn names(
    field: Field,
    numbers: &[i32],
    name: impl Fn(i32) -> Option<&'static str>,
) -> Result<Vec<&'static str>, ApplyError> {
    numbers.iter().map(|&n| name(n).ok_or_else(|| unknown(field, "flag", n))).collect()
}

/// A number that the protocol's enum does not have (`spec/README.md` correction 8).
pub(super) fn unknown(field: Field, what: &str, number: i32) -> ApplyError {
    let why = format!("there is no {what} number {number}");
    ApplyError::Invalid { field, key: String::new(), why }
}
