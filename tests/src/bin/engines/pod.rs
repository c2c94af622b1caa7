//! The life of one pod with one container, through the CRI.

use nri_tests::cri::Cri;
use serde_json::{Value, json};

use crate::Failure;
use crate::probe::Ran;

/// The variable of the client's that the plugin removes.
pub(crate) const CLIENTS: &str = "CLIENTS";

/// Runs, shows, updates, and removes it.
pub(crate) fn live(
    cri: &mut Cri,
    image: &str,
    look: &mut dyn FnMut(&str) -> Result<Ran, Failure>,
) -> Result<Ran, Failure> {
    // Without a shared PID namespace CRI-O needs no pause container, whose score it may not set everywhere.
    let linux = json!({"security_context": {"namespace_options": {"network": "NODE", "pid": "CONTAINER"}}});
    let config =
        json!({"metadata": {"name": "probe", "namespace": "default", "uid": "probe"}, "linux": linux});
    let pod = id(&cri.ask(&json!({"do": "runp", "config": config}))?, "pod");
    // CRI has values as bytes: this is `1`.
    let config = json!({"metadata": {"name": "probe"}, "image": {"image": image},
        "command": ["sleep", "1000"], "envs": [{"key": CLIENTS, "value": "MQ=="}], "linux": linux});
    let container = id(&cri.ask(&json!({"do": "create", "pod": pod, "config": config}))?, "container");
    cri.ask(&json!({"do": "start", "container": container}))?;
    let ran = look(&container);
    cri.ask(&json!({"do": "update", "container": container, "resources": {"cpu_shares": "256"}}))?;
    cri.ask(&json!({"do": "stop", "container": container, "timeout": 0}))?;
    cri.ask(&json!({"do": "rm", "container": container}))?;
    cri.remove_pod(&pod)?;
    ran
}

fn id(answer: &Value, member: &str) -> String {
    answer.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
}
