//! The same as one JSON object.

use nri_seccomp::compare::changes::{Change, Subject};
use nri_seccomp::danger;
use nri_seccomp::term::Arch;
use serde_json::{Value, json};

use super::Shown;
use crate::seccomp::evidence;

/// The object.
pub(super) fn json(shown: &Shown<'_>) -> Value {
    let archs = |archs: &[Arch]| archs.iter().map(|arch| arch.as_str()).collect::<Vec<_>>();
    let changes: Vec<Value> = shown.changes.list.iter().map(|one| change(one, &archs(&one.archs))).collect();
    json!({
        "version": 1,
        "relation": shown.comparison.relation.as_str(),
        "reason": shown.comparison.reason,
        "counterexample": shown.comparison.counterexample.as_ref().map(evidence::json),
        "archs": archs(shown.host.archs()),
        "changes": changes,
        "same": shown.changes.same,
    })
}

fn change(change: &Change, archs: &[&str]) -> Value {
    let (kind, names) = match &change.subject {
        Subject::Syscalls(names) => ("syscalls", names.as_slice()),
        Subject::Default => ("default", [].as_slice()),
        Subject::Abi => ("abi", [].as_slice()),
        Subject::Flag(_) => ("flag", [].as_slice()),
        Subject::Listener => ("listener", [].as_slice()),
    };
    let flag = if let Subject::Flag(flag) = &change.subject { Some(flag.as_str()) } else { None };
    let dangers: serde_json::Map<String, Value> =
        names.iter().filter_map(|name| Some((name.clone(), danger::of(name)?.into()))).collect();
    let mut object = json!({
        "direction": change.direction.as_str(),
        "about": kind,
        "old": change.old,
        "new": change.new,
    });
    let mut put = |key: &str, value: Option<Value>| {
        if let (Some(value), Some(object)) = (value, object.as_object_mut()) {
            object.insert(key.to_owned(), value);
        }
    };
    put("syscalls", (!names.is_empty()).then(|| names.into()));
    put("archs", (!archs.is_empty()).then(|| archs.into()));
    put("flag", flag.map(Value::from));
    put("example", change.example.as_ref().map(evidence::call));
    put("note", change.note.as_deref().map(Value::from));
    put("lets", (!dangers.is_empty()).then(|| dangers.into()));
    object
}
