//! Counterexamples as JSON (`spec/seccomp.md` 7.1).

use nri_seccomp::compare::{Call, Counterexample};
use nri_seccomp::term::Effect;
use serde_json::{Value, json};

/// The member `counterexample`.
pub(crate) fn json(counterexample: &Counterexample) -> Value {
    match counterexample {
        Counterexample::Call(found) => call(found),
        Counterexample::Flag { flag, old, new } => json!({"flag": flag.as_str(), "old": old, "new": new}),
    }
}

/// A call with both answers.
pub(crate) fn call(call: &Call) -> Value {
    json!({
        "arch": call.arch.as_str(),
        "syscall": call.syscall,
        "nr": call.nr,
        "args": call.args,
        "old": effect(call.old),
        "new": effect(call.new),
    })
}

/// `SCMP_ACT_ERRNO(1)`
pub(crate) fn effect(effect: Effect) -> String {
    format!("SCMP_ACT_{effect}")
}
