//! What a container has, ready to be looked up by field and key.

use std::borrow::Cow;

use nri_wire::field::{Entry, Field, Value};

use crate::path::clean;

/// Up to so many look-ups, going through all entries is cheaper than sorting them.
const LOOKUPS_UNSORTED_MAX: usize = 16;

/// Entries of a container. Of equal keys the last counts, as it does for the container.
pub(super) enum Index<'a> {
    /// As they stand in the container.
    List(Vec<Entry<'a>>),
    /// By field and comparable key.
    Sorted(Vec<(Field, Cow<'a, str>, Value<'a>)>),
}

impl<'a> Index<'a> {
    /// `lookups`: about how many there will be.
    pub(super) fn new(entries: Vec<Entry<'a>>, lookups: usize) -> Self {
        if lookups <= LOOKUPS_UNSORTED_MAX {
            return Self::List(entries);
        }
        let mut sorted: Vec<_> = entries
            .into_iter()
            .filter_map(|entry| Some((entry.field, comparable(entry.field, entry.key), entry.value?)))
            .collect();
        sorted.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        Self::Sorted(sorted)
    }

    pub(super) fn get(&self, field: Field, key: &str) -> Option<&Value<'a>> {
        let key = comparable(field, key);
        match self {
            Self::List(entries) => entries
                .iter()
                .rev()
                .find(|entry| entry.field == field && comparable(field, entry.key) == key)?
                .value
                .as_ref(),
            Self::Sorted(entries) => {
                let after = entries.partition_point(|(f, k, _)| (*f, k.as_ref()) <= (field, key.as_ref()));
                let (f, k, value) = entries.get(after.checked_sub(1)?)?;
                (*f == field && *k == key).then_some(value)
            }
        }
    }
}

/// The form in which keys are compared: paths are cleaned, everything else counts as it stands (`policy.md` 3).
pub(crate) fn comparable(field: Field, key: &str) -> Cow<'_, str> {
    match field {
        Field::Mounts | Field::Devices => clean(key),
        _ => Cow::Borrowed(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both forms find the same: the last of equal keys, paths cleaned.
    #[test]
    fn lookups() {
        let entry = |field, key, value| Entry { field, key, value: Some(Value::Int(value)) };
        let entries = vec![
            entry(Field::Env, "A", 1),
            entry(Field::Mounts, "/a/", 2),
            entry(Field::Env, "A", 3),
            entry(Field::Env, "B", 4),
            entry(Field::Args, "", 5),
        ];
        for lookups in [0, LOOKUPS_UNSORTED_MAX + 1] {
            let index = Index::new(entries.clone(), lookups);
            for (field, key, expect) in [
                (Field::Env, "A", Some(3)),
                (Field::Env, "B", Some(4)),
                (Field::Env, "C", None),
                (Field::Env, "", None),
                (Field::Mounts, "//a", Some(2)),
                (Field::Args, "", Some(5)),
                (Field::Annotations, "A", None),
                (Field::MemoryPolicy, "", None),
            ] {
                assert_eq!(index.get(field, key), expect.map(Value::Int).as_ref(), "{field} {key}");
            }
        }
    }
}
