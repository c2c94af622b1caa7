//! Values of environment variables and command lines, taken out of messages (`design.md` 3, invariant 9).

use serde_json::Value;

use crate::secrets::{self, Replace};

/// Replaces every value of a variable and every word of a command line by its length.
pub(crate) fn secrets(json: &mut Value) {
    secrets::replace(json, &mut Length);
}

struct Length;

impl Replace for Length {
    fn variable(&mut self, name: &str, value: &str) -> Value {
        format!("{name}=<{} bytes>", value.len()).into()
    }

    fn word(&mut self, word: &str) -> Value {
        format!("<{} bytes>", word.len()).into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_hidden() {
        let mut json = json!({
            "pod": {"annotations": {"env": "kept", "args": "kept",
                "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
            "container": {"args": ["a", "bc"], "env": ["A=secret", "odd", "B="],
                "hooks": {"prestart": [{"path": "/h", "args": ["x"], "env": ["H=1"]}]}},
            "adjust": {"env": [{"key": "A", "value": "secret"}, {"key": "-B"}],
                "linux": {"seccompPolicy": {"syscalls": [{"names": ["clone"], "args": [{"index": 0, "value": "3"}]}]}}}
        });
        secrets(&mut json);
        assert_eq!(
            json,
            json!({
                "pod": {"annotations": {"env": "kept", "args": "kept",
                    "kubectl.kubernetes.io/last-applied-configuration": "<2 bytes>"}},
                "container": {"args": ["<1 bytes>", "<2 bytes>"], "env": ["A=<6 bytes>", "<3 bytes>", "B=<0 bytes>"],
                    "hooks": {"prestart": [{"path": "/h", "args": ["<1 bytes>"], "env": ["H=<1 bytes>"]}]}},
                "adjust": {"env": [{"key": "A", "value": "<6 bytes>"}, {"key": "-B"}],
                    "linux": {"seccompPolicy": {"syscalls": [{"names": ["clone"], "args": [{"index": 0, "value": "3"}]}]}}}
            })
        );
    }
}
