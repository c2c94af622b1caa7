//! Levels that extend levels (`policy.md` 3, "Levels"), and the short form for seccomp (5).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nri_wire::field::Field;

use super::node::{Node, Value};
use super::policy::{At, FieldRule, Level, Origin, Policy};
use crate::change::Subject;
use crate::diagnostic::{Code, Diagnostic, Diagnostics, quoted};
use crate::rule::{FieldKey, Named, Rule};

const SECCOMP: FieldKey = FieldKey::Subject(Subject::Field(Field::Seccomp));

/// Puts into each level what it extends. Fields and updates are taken over key by key, other members unless given.
pub(crate) fn levels(policy: &mut Policy, out: &mut Diagnostics) {
    let places = by_name(&policy.levels);
    let parents: Vec<Option<usize>> =
        policy.levels.iter().map(|level| Some(*places.get(&*level.extends.as_ref()?.value)?)).collect();
    let mut done = vec![false; parents.len()];
    for start in 0..parents.len() {
        let mut chain = Vec::new();
        let mut seen = BTreeSet::new();
        let mut at = Some(start);
        while let Some(index) = at.filter(|index| done.get(*index) == Some(&false)) {
            if !seen.insert(index) {
                circle(policy, &chain, index, out);
                break;
            }
            chain.push(index);
            at = parents.get(index).copied().flatten();
        }
        for &index in chain.iter().rev() {
            let parent =
                parents.get(index).copied().flatten().filter(|parent| done.get(*parent) == Some(&true));
            if let Some(parent) = parent.and_then(|parent| policy.levels.get(parent)).cloned()
                && let Some(level) = policy.levels.get_mut(index)
            {
                extend(level, parent);
            }
            if let Some(done) = done.get_mut(index) {
                *done = true;
            }
        }
    }
}

/// Sets the key `seccomp` of every level that has none of the policy's own.
pub(crate) fn edit_rule(policy: &mut Policy) {
    let Some(At { value, at }) = policy.edit_rule else { return };
    let node = Node { span: at, value: Value::Text(Box::from(value.word())) };
    let mut rule = Rule::read(SECCOMP, at, &node, "", &mut Diagnostics::default());
    if let Some(rule) = &mut rule {
        rule.named = Named::EditRule;
    }
    let rule = Arc::new(FieldRule { key_at: at, rule, node, origin: Origin::EditRule, level: 0 });
    for level in &mut policy.levels {
        if level.fields.get(&SECCOMP).is_none_or(|rule| rule.origin == Origin::Preset) {
            level.fields.insert(SECCOMP, Arc::clone(&rule));
        }
    }
}

/// Where the levels stand in the list; of two with one name the first.
fn by_name(levels: &[Level]) -> BTreeMap<Box<str>, usize> {
    let mut places = BTreeMap::new();
    for (index, level) in levels.iter().enumerate() {
        places.entry(level.name.value.clone()).or_insert(index);
    }
    places
}

fn extend(level: &mut Level, parent: Level) {
    for (key, rule) in parent.fields {
        level.fields.entry(key).or_insert(rule);
    }
    for (kind, grant) in parent.updates {
        level.updates.entry(kind).or_insert(grant);
    }
    level.require_proof = level.require_proof.take().or(parent.require_proof);
    level.may_override_client = level.may_override_client.or(parent.may_override_client);
    level.mode = level.mode.or(parent.mode);
    level.on_violation = level.on_violation.or(parent.on_violation);
}

/// Says that some levels extend each other (E041), at the first of them.
fn circle(policy: &Policy, chain: &[usize], back_to: usize, out: &mut Diagnostics) {
    let circle = chain.iter().position(|index| *index == back_to).and_then(|start| chain.get(start..));
    let circle = circle.unwrap_or_default();
    let first = circle.iter().copied().min();
    let Some(level) = first.and_then(|first| policy.levels.get(first)) else { return };
    let Some(extends) = &level.extends else { return };
    let names = circle.iter().filter_map(|index| policy.levels.get(*index)).take(8);
    let names: Vec<String> = names.map(|level| quoted(&level.name.value)).collect();
    let more = if circle.len() > names.len() { ", …" } else { "" };
    let path = format!("spec.levels[{}].extends", first.unwrap_or_default());
    let message = match names.as_slice() {
        [one] => format!("level {one} extends itself"),
        _ => format!("levels {}{more} extend each other", names.join(", ")),
    };
    out.push(Diagnostic::new(Code::E041, extends.at, path, message).label("comes back to where it began"));
}
