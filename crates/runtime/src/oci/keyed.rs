//! Lists and maps that are adjusted by key: removals before additions, one entry a key.
//!
//! The reference walks maps at random (quirks D3, E1) and lists in their order; here a key that is both removed
//! and set is set, wherever the two stand, and applying once more changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use nri_wire::field::{self, Entry};
use serde_json::{Map, Value};

use super::spec::{OBJECT, Spec, SpecError, TEXT};

/// What an adjustment wants of each key.
pub(super) struct Wishes<'a, T> {
    by_key: BTreeMap<&'a str, Option<(usize, T)>>,
}

impl<'a, T> Wishes<'a, T> {
    /// From keys with a value, or with none for a removal. Of two values the later one counts, in the place of the first.
    pub(super) fn new(wishes: impl Iterator<Item = (&'a str, Option<T>)>) -> Self {
        let mut by_key = BTreeMap::new();
        for (at, (key, value)) in wishes.enumerate() {
            match value {
                Some(value) => {
                    let wish = by_key.entry(key).or_insert(None);
                    let place = wish.as_ref().map_or(at, |(first, _)| *first);
                    *wish = Some((place, value));
                }
                None => {
                    by_key.entry(key).or_insert(None);
                }
            }
        }
        Self { by_key }
    }

    /// What is set, in the order of the adjustment.
    pub(super) fn sets(&self) -> Vec<(&'a str, &T)> {
        let mut sets: Vec<_> = self
            .by_key
            .iter()
            .filter_map(|(key, wish)| wish.as_ref().map(|(at, value)| (*at, *key, value)))
            .collect();
        sets.sort_unstable_by_key(|(at, ..)| *at);
        sets.into_iter().map(|(_, key, value)| (key, value)).collect()
    }

    /// Replaces entries where they stand, takes out the removed ones and further ones of a set key, appends
    /// the new ones. Entries that no wish names stay as they are.
    pub(super) fn patch(
        &self,
        list: &mut Vec<Value>,
        key: impl Fn(&Value) -> Option<&str>,
        write: impl Fn(&mut Value, &str, &T),
    ) {
        let mut placed = BTreeSet::new();
        list.retain_mut(|element| {
            let Some((key, wish)) = key(element).and_then(|key| self.by_key.get_key_value(key)) else {
                return true;
            };
            match wish {
                Some((_, value)) if placed.insert(*key) => {
                    write(element, key, value);
                    true
                }
                _ => false,
            }
        });
        for (key, value) in self.sets() {
            if !placed.contains(key) {
                let mut element = Value::Null;
                write(&mut element, key, value);
                list.push(element);
            }
        }
    }

    /// Takes out every entry that a wish names.
    pub(super) fn clear(&self, list: &mut Vec<Value>, key: impl Fn(&Value) -> Option<&str>) {
        list.retain(|element| !key(element).is_some_and(|key| self.by_key.contains_key(key)));
    }

    /// Applies the wishes to the object at `pointer`, which is created if something is set.
    pub(super) fn patch_map(
        &self,
        spec: &mut Spec,
        pointer: &str,
        json: impl Fn(&T) -> Value,
    ) -> Result<(), SpecError> {
        if self.by_key.values().any(Option::is_none)
            && let Some(map) = spec.existing(pointer)?
        {
            map.retain(|key, _| !matches!(self.by_key.get(key.as_str()), Some(None)));
        }
        let sets = self.sets();
        if !sets.is_empty() {
            let map = spec.object(pointer)?;
            for (key, value) in sets {
                map.insert(key.to_owned(), json(value));
            }
        }
        Ok(())
    }

    /// The list at `pointer` as far as the wishes need it: nothing is created for removals only.
    pub(super) fn list<'s>(
        &self,
        spec: &'s mut Spec,
        pointer: &str,
    ) -> Result<Option<&'s mut Vec<Value>>, SpecError> {
        if self.by_key.values().any(Option::is_some) {
            spec.list(pointer).map(Some)
        } else {
            spec.existing_list(pointer)
        }
    }
}

impl<'a> Wishes<'a, field::Value<'a>> {
    /// From the entries of one field.
    pub(super) fn of(entries: &[Entry<'a>]) -> Self {
        Self::new(entries.iter().map(|entry| (entry.key, entry.value.clone())))
    }
}

/// Sees to it that each element of a list of objects has a string, or nothing, for a key.
pub(super) fn check_keys(list: &[Value], pointer: &str, member: &str) -> Result<(), SpecError> {
    for (index, element) in list.iter().enumerate() {
        match element {
            Value::Null => {}
            Value::Object(map) => match map.get(member) {
                None | Some(Value::Null | Value::String(_)) => {}
                Some(other) => {
                    return Err(SpecError::new(format!("{pointer}/{index}/{member}"), TEXT, other));
                }
            },
            other => return Err(SpecError::new(format!("{pointer}/{index}"), OBJECT, other)),
        }
    }
    Ok(())
}

/// The key of an element of such a list.
pub(super) fn key_of<'v>(element: &'v Value, member: &str) -> Option<&'v str> {
    element.get(member)?.as_str()
}

/// Sets a member of an element, which becomes an object if it is new.
pub(super) fn put_member(element: &mut Value, name: &str, value: impl Into<Value>) {
    match element {
        Value::Object(map) => {
            map.insert(name.to_owned(), value.into());
        }
        new => *new = Value::Object(Map::from_iter([(name.to_owned(), value.into())])),
    }
}
