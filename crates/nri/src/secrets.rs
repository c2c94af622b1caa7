//! Where messages and specs hold secrets: values of environment variables and words of command lines
//! (`design.md` 3, invariant 9). One walk for whoever hides them; what stands in their place is theirs to say.

use serde_json::{Map, Value};

/// The annotation in which kubectl leaves a pod's whole manifest, values of variables and all.
const MANIFEST: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What stands in the place of secrets.
pub(crate) trait Replace {
    /// For `NAME=VALUE`.
    fn variable(&mut self, name: &str, value: &str) -> Value;
    /// For a value, or a word, alone.
    fn word(&mut self, word: &str) -> Value;
}

/// Replaces every value of a variable and every word of a command line, wherever the JSON has them: containers,
/// adjustments, hooks, OCI specs. Names of variables stay.
pub(crate) fn replace(json: &mut Value, with: &mut impl Replace) {
    match json {
        Value::Array(list) => list.iter_mut().for_each(|value| replace(value, with)),
        Value::Object(members) => members.iter_mut().for_each(|(key, value)| match (key.as_str(), value) {
            ("env", Value::Array(list)) => list.iter_mut().for_each(|value| variable(value, with)),
            // The arguments of a seccomp rule are objects, and no secrets.
            ("args", Value::Array(list)) => list.iter_mut().for_each(|value| word(value, with)),
            ("commandLine" | MANIFEST, value) => word(value, with),
            (_, value) => replace(value, with),
        }),
        _ => {}
    }
}

/// `NAME=VALUE`, or the name and value of an adjustment.
fn variable(json: &mut Value, with: &mut impl Replace) {
    match json {
        Value::String(text) => {
            *json = match text.split_once('=') {
                Some((name, value)) => with.variable(name, value),
                None => with.word(text),
            }
        }
        Value::Object(members) => value_of(members, with),
        _ => {}
    }
}

fn value_of(members: &mut Map<String, Value>, with: &mut impl Replace) {
    if let Some(value) = members.get_mut("value") {
        word(value, with);
    }
}

fn word(json: &mut Value, with: &mut impl Replace) {
    if let Value::String(text) = json {
        *json = with.word(text);
    }
}
