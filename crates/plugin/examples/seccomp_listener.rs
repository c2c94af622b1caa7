//! Puts `mkdir` of every container before a listener of its own pod: `/run/seccomp/UID.sock`, which a profile in a
//! file cannot do. Pods choose with the annotation `seccomp-listener: "true"`.
//!
//! Shows: taking a container's policy, changing it and giving it back; what an engine may not know.

use nri_plugin::seccomp::{Action, Rule, Seccomp};
use nri_plugin::{Adjustment, CreateContainer, Field, Plugin, Result};
use std::process::ExitCode;

struct Listener;

#[nri_plugin::plugin]
impl Plugin for Listener {
    fn create_container(&self, request: &CreateContainer) -> Result<Adjustment> {
        let pod = request.pod();
        if pod.annotations.get("seccomp-listener").is_none_or(|value| value != "true") {
            return Ok(Adjustment::new());
        }
        if request.session().supports(Field::Seccomp) == Some(false) {
            return Err("this runtime cannot change seccomp policies: it needs NRI 0.10".into());
        }
        let own = request.container().linux.as_ref().and_then(|linux| linux.seccomp_policy.clone());
        let policy = own.map_or_else(|| Seccomp::new(Action::Allow), Seccomp::from);
        let calls = ["mkdir", "mkdirat"];
        let policy = calls
            .iter()
            .fold(policy, |policy, call| policy.without(call))
            .rule(Rule::new(Action::Notify, calls))
            .listener(format!("/run/seccomp/{}.sock", pod.uid), format!("{}/{}", pod.namespace, pod.name));
        Ok(Adjustment::new().seccomp(policy))
    }
}

fn main() -> ExitCode {
    nri_plugin::run(Listener)
}
