//! The keys that one answer touches, so that lists are gone through once for an answer, not once for an entry: with tens of
//! thousands of entries the difference is one between milliseconds and minutes.

use std::collections::BTreeSet;

use nri_wire::field::{Entry, Field, is_marked};

/// Which keys an answer sets, and which it removes.
#[derive(Debug, Default)]
pub(super) struct Keys<'a> {
    set: BTreeSet<(Field, &'a str)>,
    removed: BTreeSet<(Field, &'a str)>,
}

impl<'a> Keys<'a> {
    pub(super) fn of(entries: &[Entry<'a>]) -> Self {
        let mut keys = Self::default();
        for entry in entries {
            let keys = if entry.value.is_some() { &mut keys.set } else { &mut keys.removed };
            keys.insert((entry.field, entry.key));
        }
        keys
    }

    /// Everything that is removed, each once, in the order of fields and keys.
    pub(super) fn removed(&self) -> impl Iterator<Item = (Field, &'a str)> {
        self.removed.iter().copied()
    }

    pub(super) fn sets(&self, field: Field, key: &str) -> bool {
        self.set.contains(&(field, key))
    }

    /// Drops from a list of the merged adjustment what is removed: an earlier plugin's value, and a mark that will be put
    /// at the end again. An element whose key begins with `-` is a mark: such keys cannot be set.
    pub(super) fn unset<T>(&self, field: Field, list: &mut Vec<T>, key: impl Fn(&T) -> &str) {
        if has(&self.removed, field) {
            list.retain(|element| {
                let key = key(element);
                match is_marked(key) {
                    Some(marked) => self.sets(field, marked) || !self.removed.contains(&(field, marked)),
                    None => !self.removed.contains(&(field, key)),
                }
            });
        }
    }

    /// Drops from a list of the container what is removed or set anew.
    pub(super) fn clear<T>(&self, field: Field, list: &mut Vec<T>, key: impl Fn(&T) -> &str) {
        if has(&self.removed, field) || has(&self.set, field) {
            list.retain(|element| {
                let key = (field, key(element));
                !self.removed.contains(&key) && !self.set.contains(&key)
            });
        }
    }
}

fn has(keys: &BTreeSet<(Field, &str)>, field: Field) -> bool {
    keys.range((field, "")..).next().is_some_and(|(first, _)| *first == field)
}
