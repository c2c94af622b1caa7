//! Taking out of an answer what does not count.

use std::collections::{BTreeMap, BTreeSet};

use nri_wire::api::{ContainerAdjustment, ContainerUpdate};
use nri_wire::field::{self, Field, Value};

use super::answer::sealed::Sealed;
use super::decide::{Decision, Fate};
use crate::change::{Recorded, comparable};

/// Leaves of an answer what counts, and numbers the updates of the changes anew.
pub(super) fn apply<A: Sealed>(answer: &mut A, decision: &Decision, changes: &mut [Recorded]) {
    if let (Some(kept), Some(slot)) = (&decision.adjustment, answer.adjust_mut())
        && let Some(adjust) = slot
    {
        retain(adjust, kept, &decision.lines);
    }
    let mut numbers = BTreeMap::new();
    let mut number = 0;
    let updates = std::mem::take(answer.updates_mut());
    for (index, mut update) in updates.into_iter().enumerate() {
        let stays = match decision.updates.get(index) {
            Some(Fate::Dropped) => false,
            Some(Fate::Kept(kept)) => {
                retain_update(&mut update, kept);
                true
            }
            Some(Fate::Untouched) | None => true,
        };
        if stays {
            numbers.insert(index, number);
            number += 1;
            answer.updates_mut().push(update);
        }
    }
    for change in changes {
        if let Some((index, _)) = &mut change.update {
            *index = numbers.get(index).copied().unwrap_or(*index);
        }
    }
    if let Some(evictions) = answer.evictions_mut() {
        let mut granted = decision.evictions.iter();
        evictions.retain(|_| granted.next().copied().unwrap_or(true));
    }
}

/// A mark beside a value of the same key shares the value's fate: alone it would be a removal that nobody judged.
fn retain(adjust: &mut ContainerAdjustment, kept: &BTreeSet<usize>, lines: &BTreeSet<usize>) {
    let entries = field::adjustment(adjust);
    if kept.len() == entries.len() && lines.is_empty() {
        return;
    }
    let values: BTreeSet<_> = entries
        .iter()
        .enumerate()
        .filter(|(number, entry)| entry.value.is_some() && kept.contains(number))
        .map(|(_, entry)| (entry.field, comparable(entry.field, entry.key)))
        .collect();
    let stays: Vec<bool> = entries
        .iter()
        .enumerate()
        .map(|(number, entry)| {
            kept.contains(&number)
                || (entry.value.is_none()
                    && values.contains(&(entry.field, comparable(entry.field, entry.key))))
        })
        .collect();
    let schemata = entries
        .iter()
        .position(|entry| entry.field == Field::RdtSchemata && matches!(entry.value, Some(Value::Lines(_))));
    let whole = schemata.is_none_or(|at| stays.get(at) != Some(&true));
    drop(values);
    drop(entries);
    field::retain_adjustment(adjust, |number| stays.get(number).copied().unwrap_or(false));
    if !whole
        && let Some(schemata) = adjust.linux.as_mut().and_then(|linux| linux.rdt.as_mut()?.schemata.as_mut())
    {
        let mut line = 0..;
        schemata.value.retain(|_| line.next().is_some_and(|line| !lines.contains(&line)));
    }
}

fn retain_update(update: &mut ContainerUpdate, kept: &BTreeSet<usize>) {
    if field::update(update).len() != kept.len() {
        field::retain_update(update, |number| kept.contains(&number));
    }
}
