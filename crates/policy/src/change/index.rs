//! What a container has, ready to be looked up by field and key.

use std::borrow::Cow;

use nri_wire::field::{Entry, Field, Value};

/// Entries, sorted by field and comparable key. Of equal keys the last counts, as it does for the container.
pub(super) struct Index<'a> {
    entries: Vec<(Field, Cow<'a, str>, Value<'a>)>,
}

impl<'a> Index<'a> {
    pub(super) fn new(entries: Vec<Entry<'a>>) -> Self {
        let mut entries: Vec<_> = entries
            .into_iter()
            .filter_map(|entry| Some((entry.field, comparable(entry.field, entry.key), entry.value?)))
            .collect();
        entries.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        Self { entries }
    }

    pub(super) fn get(&self, field: Field, key: &str) -> Option<&Value<'a>> {
        let key = comparable(field, key);
        let after = self.entries.partition_point(|(f, k, _)| (*f, k.as_ref()) <= (field, key.as_ref()));
        let (f, k, value) = self.entries.get(after.checked_sub(1)?)?;
        (*f == field && *k == key).then_some(value)
    }
}

/// The form in which keys are compared: paths are cleaned, everything else counts as it stands (`policy.md` 3).
pub(super) fn comparable(field: Field, key: &str) -> Cow<'_, str> {
    match field {
        Field::Mounts | Field::Devices => clean(key),
        _ => Cow::Borrowed(key),
    }
}

/// Cleans an absolute path lexically: `//`, `.`, `..`, a trailing `/`; `/var/run` is `/run`. Others stay as they are.
pub(super) fn clean(path: &str) -> Cow<'_, str> {
    if !path.starts_with('/') || is_clean(path) {
        return Cow::Borrowed(path);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    if parts.starts_with(&["var", "run"]) {
        parts.remove(0);
    }
    Cow::Owned(format!("/{}", parts.join("/")))
}

fn is_clean(path: &str) -> bool {
    path == "/"
        || (!path.ends_with('/')
            && !path.starts_with("/var/run")
            && !path.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, expect) in [
            ("/", "/"),
            ("/data", "/data"),
            ("/data/", "/data"),
            ("//a/./b/../c", "/a/c"),
            ("/../..", "/"),
            ("/var/run", "/run"),
            ("/var/run/x/", "/run/x"),
            ("/var/runner", "/var/runner"),
            ("/var/./run/a", "/run/a"),
            ("relative/../x", "relative/../x"),
            ("", ""),
        ] {
            assert_eq!(clean(path), expect, "{path}");
        }
    }
}
