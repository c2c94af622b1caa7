//! The mapping `fields` of a level: its keys, and the rule of each.

use super::node::{Node, Value};
use super::walk::Walk;
use crate::diagnostic::{Code, Diagnostic, Diagnostics, member, quoted};
use crate::rule::{FieldKey, Rule};

/// Compares `fields` with what there is.
pub(crate) fn check(walk: &mut Walk<'_>, node: &Node, path: &str) {
    let Value::Map(entries) = &node.value else {
        return walk.out.mismatch(node, path, "a mapping of fields to rules");
    };
    for entry in entries {
        let path = member(path, &entry.key);
        match FieldKey::from_name(&entry.key) {
            Some(key) => {
                let missing_at = walk.missing_at;
                walk.out.with_missing_at(missing_at, |out| {
                    drop(Rule::read(key, entry.key_span, &entry.value, &path, out));
                });
            }
            None => unknown(&entry.key, Diagnostic::new(Code::E021, entry.key_span, path, ""), walk.out),
        }
    }
}

fn unknown(key: &str, mut found: Diagnostic, out: &mut Diagnostics) {
    found.message = format!("unknown field {}", quoted(key));
    if !out.is_full() {
        found = found.label("not an NRI field").suggest(key, FieldKey::all().map(FieldKey::name));
    }
    out.push(found);
}
