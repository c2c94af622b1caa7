//! An answer as changes: field, key, what was there, what shall be there (`policy.md` 3, "Changes").
//!
//! Changes are taken against the *pristine* container, the request's before any plugin. What says nothing new is no
//! change and is left out: a value that the client gave already, a removal mark for a key that nobody set, a class
//! that is cleared where there is none.

mod index;
mod shape;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use nri_wire::api::{
    Container, ContainerAdjustment, ContainerUpdate, IoPrioClass, LinuxResources, LinuxSchedulerPolicy,
};
use nri_wire::field::{self, Entry, Field, Value};
use serde::Serialize;

use self::index::Index;
pub(crate) use self::index::comparable;
pub use self::shape::json;

/// One change that an answer asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<'a> {
    /// Whose it is.
    pub place: Place<'a>,
    /// What changes.
    pub subject: Subject,
    /// The key as the plugin wrote it, without a removal mark; empty where the field has none (`policy.md` 4).
    pub key: Cow<'a, str>,
    /// How it changes.
    pub op: Op,
    /// The client's value; for a removal, the value that goes away, which may be an earlier plugin's.
    pub before: Option<Value<'a>>,
    /// The new value; `None` for a removal.
    pub after: Option<Value<'a>>,
    /// The client's value, if it set one: what limits are relative to. It differs from `before` where a removal takes away
    /// what an earlier plugin set.
    pub client: Option<Value<'a>>,
    /// Which entry of [`field::adjustment`], or of [`field::update`] of its update, it comes from.
    pub entry: usize,
    /// Which line of an entry of several, all of which are changes of their own.
    pub line: Option<usize>,
}

/// Whose value a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// The container that is created, through the adjustment.
    Adjustment,
    /// A container that is updated.
    Update {
        /// Which update of the answer, from 0.
        index: usize,
        /// The container's id.
        id: &'a str,
    },
}

/// What a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A field of the list.
    Field(Field),
    /// A protobuf field that we do not know; the key is the path to it.
    Unknown,
}

/// How a change changes (`policy.md` 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// The client has no such value.
    Add,
    /// The client has another one.
    Replace,
    /// The value goes away.
    Remove,
}

/// A change that owns its values, in the form in which decisions print it.
///
/// Holds values of variables and arguments in clear: never log it.
#[derive(Clone, PartialEq)]
pub struct Recorded {
    /// The updated container's id and the number of the update in the answer; `None` for the adjustment.
    pub update: Option<(usize, String)>,
    /// What changed.
    pub subject: Subject,
    /// The key (`policy.md` 4).
    pub key: String,
    /// How it changed.
    pub op: Op,
    /// The value before, in the form of [`json`], `null` if there was none.
    pub before: serde_json::Value,
    /// The value after, in the form of [`json`], `null` for a removal.
    pub after: serde_json::Value,
}

/// What the changes of an adjustment are taken against.
#[derive(Clone, Copy, Debug)]
pub struct Containers<'a> {
    /// The container as the client asked for it.
    pub pristine: &'a Container,
    /// The container as the plugin saw it, with the changes of earlier plugins.
    pub running: &'a Container,
}

/// The changes of an adjustment, in the order of [`field::adjustment`].
#[must_use]
pub fn adjustment<'a>(adjust: &'a ContainerAdjustment, against: Containers<'a>) -> Vec<Change<'a>> {
    let entries = field::adjustment(adjust);
    if entries.is_empty() {
        return Vec::new();
    }
    let pristine = Index::new(field::container(against.pristine), entries.len());
    let running = std::cell::OnceCell::new();
    let running = || running.get_or_init(|| Index::new(field::container(against.running), entries.len()));
    let set: BTreeSet<(Field, Cow<'_, str>)> = entries
        .iter()
        .filter(|entry| entry.value.is_some())
        .map(|entry| (entry.field, comparable(entry.field, entry.key)))
        .collect();
    let mut changes = Vec::with_capacity(entries.len());
    for (number, entry) in entries.iter().enumerate() {
        let Some(value) = &entry.value else {
            if !set.contains(&(entry.field, comparable(entry.field, entry.key))) {
                let before =
                    running().get(entry.field, entry.key).or_else(|| pristine.get(entry.field, entry.key));
                changes.extend(removal(number, entry, before.cloned(), &pristine));
            }
            continue;
        };
        match (entry.field, value) {
            (Field::Args, Value::Args(list)) => {
                let client = pristine.get(Field::Args, "");
                changes.extend(args(number, list, client, || running().get(Field::Args, "")));
            }
            _ => setting(Place::Adjustment, number, entry, value, &pristine, &mut changes),
        }
    }
    changes
}

/// The changes of a list of updates; `requested` says what the client last asked for a container, if that is known.
#[must_use]
pub fn updates<'a>(
    updates: &'a [ContainerUpdate],
    requested: impl Fn(&str) -> Option<&'a LinuxResources>,
) -> Vec<Change<'a>> {
    let mut changes = Vec::new();
    for (index, update) in updates.iter().enumerate() {
        let entries = field::update(update);
        let known = requested(&update.container_id).map(field::resources).unwrap_or_default();
        let known = Index::new(known, entries.len());
        let place = Place::Update { index, id: &update.container_id };
        for (number, entry) in entries.iter().enumerate() {
            if let Some(value) = &entry.value {
                setting(place, number, entry, value, &known, &mut changes);
            }
        }
    }
    changes
}

impl Change<'_> {
    /// The change with values of its own.
    #[must_use]
    pub fn record(&self) -> Recorded {
        let shape = |value: &Option<Value<'_>>| value.as_ref().map_or(serde_json::Value::Null, json);
        Recorded {
            update: match self.place {
                Place::Adjustment => None,
                Place::Update { index, id } => Some((index, id.to_owned())),
            },
            subject: self.subject,
            key: self.key.clone().into_owned(),
            op: self.op,
            before: shape(&self.before),
            after: shape(&self.after),
        }
    }
}

impl Op {
    /// As it stands in policies and decisions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Replace => "replace",
            Self::Remove => "remove",
        }
    }
}

impl Subject {
    /// The name of `policy.md` 4.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Field(field) => field.name(),
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Subject {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl fmt::Debug for Recorded {
    /// Without the values, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} {}", self.op, self.subject, self.key)
    }
}

/// A removal mark that stands alone.
fn removal<'a>(
    number: usize,
    entry: &Entry<'a>,
    before: Option<Value<'a>>,
    pristine: &Index<'a>,
) -> Option<Change<'a>> {
    let always = matches!(entry.field, Field::Namespaces | Field::RdtRemove);
    let client = match entry.field {
        Field::RdtRemove => [Field::RdtClosId, Field::RdtSchemata, Field::RdtMonitoring]
            .into_iter()
            .find_map(|field| pristine.get(field, "")),
        field => pristine.get(field, entry.key).filter(|value| is_set(field, value)),
    };
    (always || before.is_some()).then(|| Change {
        place: Place::Adjustment,
        subject: Subject::Field(entry.field),
        key: Cow::Borrowed(entry.key),
        op: Op::Remove,
        before,
        after: None,
        client: client.cloned(),
        entry: number,
        line: None,
    })
}

/// A value that is set.
fn setting<'a>(
    place: Place<'a>,
    number: usize,
    entry: &Entry<'a>,
    value: &Value<'a>,
    client: &Index<'a>,
    changes: &mut Vec<Change<'a>>,
) {
    let change = |key, op, before: Option<Value<'a>>, after| Change {
        place,
        subject: Subject::Field(entry.field),
        key,
        op,
        client: before.clone(),
        before,
        after,
        entry: number,
        line: None,
    };
    match entry.field {
        Field::Hooks | Field::CdiDevices | Field::DeviceCgroup | Field::MemoryPolicy => {
            changes.push(change(entry.decision_key(), Op::Add, None, Some(value.clone())));
        }
        Field::RdtSchemata => {
            let lines = schemata(value, client.get(Field::RdtSchemata, ""));
            changes.extend(lines.into_iter().enumerate().map(|(line, (key, op, before, after))| Change {
                line: (op != Op::Remove).then_some(line),
                ..change(Cow::Borrowed(key), op, before, after)
            }));
        }
        _ => {
            let old = client.get(entry.field, entry.key);
            if old == Some(value) {
                return;
            }
            let old = old.filter(|old| is_set(entry.field, old)).cloned();
            let key = Cow::Borrowed(entry.key);
            match (clears(value, entry.field), old) {
                (true, None) => {}
                (true, Some(old)) => changes.push(change(key, Op::Remove, Some(old), None)),
                (false, None) => changes.push(change(key, Op::Add, None, Some(value.clone()))),
                (false, Some(old)) => {
                    changes.push(change(key, Op::Replace, Some(old), Some(value.clone())));
                }
            }
        }
    }
}

/// A command line. An empty one leaves the client's in force (`spec/adaptation.md` 10.5), so that what it takes away is at
/// most an earlier plugin's.
fn args<'a, 'b>(
    number: usize,
    list: &'a [String],
    client: Option<&'b Value<'a>>,
    running: impl FnOnce() -> Option<&'b Value<'a>>,
) -> Option<Change<'a>>
where
    'a: 'b,
{
    let (_, line) = field::args(list);
    let after = Value::Args(line);
    let change = |op, before: Option<&Value<'a>>, client: Option<&Value<'a>>, after| Change {
        place: Place::Adjustment,
        subject: Subject::Field(Field::Args),
        key: Cow::Borrowed(""),
        op,
        before: before.cloned(),
        after,
        client: client.cloned(),
        entry: number,
        line: None,
    };
    if line.is_empty() {
        let running = running();
        return (running.is_some() && running != client).then(|| change(Op::Remove, running, None, None));
    }
    match client {
        Some(old) if *old == after => None,
        Some(old) => Some(change(Op::Replace, Some(old), Some(old), Some(after))),
        None => Some(change(Op::Add, None, None, Some(after))),
    }
}

type LineChange<'a> = (&'a str, Op, Option<Value<'a>>, Option<Value<'a>>);

/// Each line of schemata is a change of its own, against all of the client's lines, which the new ones replace.
fn schemata<'a>(value: &Value<'a>, client: Option<&Value<'a>>) -> Vec<LineChange<'a>> {
    let Value::Lines(lines) = *value else { return Vec::new() };
    let old = client.filter(|old| **old != Value::Lines(&[]));
    if client == Some(value) {
        return Vec::new();
    }
    match old {
        Some(old) if lines.is_empty() => vec![("", Op::Remove, Some(old.clone()), None)],
        Some(old) => lines
            .iter()
            .map(|line| (line.as_str(), Op::Replace, Some(old.clone()), Some(Value::Text(line))))
            .collect(),
        None => lines.iter().map(|line| (line.as_str(), Op::Add, None, Some(Value::Text(line)))).collect(),
    }
}

/// Values that take away what is there: the empty class, I/O class and scheduler policy NONE.
fn clears(value: &Value<'_>, field: Field) -> bool {
    match (field, value) {
        (Field::BlockioClass | Field::RdtClass, Value::Text(class)) => class.is_empty(),
        (_, Value::IoPriority(priority)) => priority.class == IoPrioClass::IoprioClassNone as i32,
        (_, Value::Scheduler(scheduler)) => scheduler.policy == LinuxSchedulerPolicy::SchedNone as i32,
        _ => false,
    }
}

/// In what the client asks for, 0 in memory, CPU and pids and the empty text mean "not set".
fn is_set(field: Field, value: &Value<'_>) -> bool {
    let counts = (Field::MemoryLimit..=Field::PidsLimit).contains(&field);
    match value {
        Value::Int(0) | Value::UInt(0) => !counts,
        Value::Text(text) => {
            !text.is_empty() || matches!(field, Field::Annotations | Field::Env | Field::Namespaces)
        }
        Value::Args(list) => !list.is_empty(),
        _ => !clears(value, field),
    }
}
