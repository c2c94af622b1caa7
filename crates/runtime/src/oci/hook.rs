//! `hooks`.

use nri_wire::api::Hook;
use nri_wire::field::{self, Entry};
use serde_json::{Map, Value};

use super::error::ApplyError;
use super::spec::Spec;

/// The kinds, in the order of the OCI specification.
const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Appends the hooks of each kind. Hooks have no key, and the same hook twice is a legal wish; that applying once
/// more changes nothing is held by looking at the end of the list: what already ends with these very hooks, in
/// this order, has them.
pub(super) fn append(spec: &mut Spec, entries: &[Entry<'_>]) -> Result<(), ApplyError> {
    for kind in KINDS {
        let new: Vec<Value> = entries
            .iter()
            .filter_map(|entry| match entry.value {
                Some(field::Value::Hook(of, hook)) if of == kind => Some(to_oci(hook)),
                _ => None,
            })
            .collect();
        if new.is_empty() {
            continue;
        }
        let list = spec.list(&format!("/hooks/{kind}"))?;
        if !list.ends_with(&new) {
            list.extend(new);
        }
    }
    Ok(())
}

fn to_oci(hook: &Hook) -> Value {
    let Hook { path, args, env, timeout } = hook;
    let mut map = Map::from_iter([("path".to_owned(), path.as_str().into())]);
    for (name, list) in [("args", args), ("env", env)] {
        if !list.is_empty() {
            map.insert(name.to_owned(), list.as_slice().into());
        }
    }
    if let Some(timeout) = timeout {
        map.insert("timeout".to_owned(), timeout.value.into());
    }
    Value::Object(map)
}
