//! Values of environment variables and command lines, taken out of messages (`design.md` 3, invariant 9).

use serde_json::{Map, Value};

/// Replaces every value of a variable and every word of a command line by its length, wherever the message has them:
/// containers, adjustments, hooks. Names of variables stay.
pub(crate) fn secrets(json: &mut Value) {
    match json {
        Value::Array(list) => list.iter_mut().for_each(secrets),
        Value::Object(members) => members.iter_mut().for_each(|(key, value)| match (key.as_str(), value) {
            ("env", Value::Array(list)) => list.iter_mut().for_each(variable),
            // The arguments of a seccomp rule are objects, and no secrets.
            ("args", Value::Array(list)) if list.iter().all(Value::is_string) => {
                list.iter_mut().for_each(whole);
            }
            (_, value) => secrets(value),
        }),
        _ => {}
    }
}

/// `NAME=VALUE`, or the name and value of an adjustment.
fn variable(json: &mut Value) {
    match json {
        Value::String(text) => match text.split_once('=') {
            Some((name, value)) => *text = format!("{name}={}", length(value)),
            None => *text = length(text),
        },
        Value::Object(members) => value_of(members),
        _ => {}
    }
}

fn value_of(members: &mut Map<String, Value>) {
    if let Some(value) = members.get_mut("value") {
        whole(value);
    }
}

fn whole(json: &mut Value) {
    if let Value::String(text) = json {
        *text = length(text);
    }
}

fn length(text: &str) -> String {
    format!("<{} bytes>", text.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_hidden() {
        let mut json = json!({
            "pod": {"annotations": {"env": "kept", "args": "kept"}},
            "container": {"args": ["a", "bc"], "env": ["A=secret", "odd", "B="],
                "hooks": {"prestart": [{"path": "/h", "args": ["x"], "env": ["H=1"]}]}},
            "adjust": {"env": [{"key": "A", "value": "secret"}, {"key": "-B"}],
                "linux": {"seccompPolicy": {"syscalls": [{"names": ["clone"], "args": [{"index": 0, "value": "3"}]}]}}}
        });
        secrets(&mut json);
        assert_eq!(
            json,
            json!({
                "pod": {"annotations": {"env": "kept", "args": "kept"}},
                "container": {"args": ["<1 bytes>", "<2 bytes>"], "env": ["A=<6 bytes>", "<3 bytes>", "B=<0 bytes>"],
                    "hooks": {"prestart": [{"path": "/h", "args": ["<1 bytes>"], "env": ["H=<1 bytes>"]}]}},
                "adjust": {"env": [{"key": "A", "value": "<6 bytes>"}, {"key": "-B"}],
                    "linux": {"seccompPolicy": {"syscalls": [{"names": ["clone"], "args": [{"index": 0, "value": "3"}]}]}}}
            })
        );
    }
}
