//! Policies in files, and recorded creations under them.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use nri_tests::ours::nri;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// A policy named `node` in a folder of its own; `spec` is one line of YAML.
pub(super) fn policy(spec: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "apiVersion: policy.nri-rs/v1alpha1\nkind: PluginPolicy\nmetadata: {{name: node}}\nspec: {spec}\n"
    );
    fs::write(folder.path().join("node.yaml"), text).unwrap();
    folder
}

/// The decisions about recorded requests, in their order.
pub(super) fn replay(spec: &str, lines: &[Json]) -> Vec<Json> {
    let folder = policy(spec);
    let mut child = Command::new(nri())
        .args(["replay", "-", "--policy"])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let decisions: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(decisions.len(), lines.len(), "{spec}: {}", String::from_utf8_lossy(&output.stderr));
    decisions
}

/// A creation with the answers of some plugins.
pub(super) fn creation(id: &str, container: &Json, answers: &Json) -> Json {
    json!({"version": 1, "id": id, "event": "CreateContainer", "pod": {"namespace": "default"},
        "container": container, "answers": answers})
}

/// The outcome, and each refusal as `PLUGIN FIELD KEY RULE ACTION`.
pub(super) fn said(decision: &Json) -> (String, Vec<String>) {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let refused = decision["refused"].as_array().unwrap().iter().map(|refused| {
        let parts = ["plugin", "field", "key", "rule", "action"].map(|member| text(&refused[member]));
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    });
    (text(&decision["outcome"]), refused.collect())
}

/// A seccomp policy that allows these calls and no others.
pub(super) fn allows(calls: &[&str]) -> Json {
    json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": calls, "action": "SCMP_ACT_ALLOW"}]})
}

/// A seccomp policy with rules that notify an agent at this path.
pub(super) fn notifies(path: &str, calls: &[&str]) -> Json {
    json!({"defaultAction": "SCMP_ACT_ERRNO", "listenerPath": path, "syscalls": [
        {"names": calls, "action": "SCMP_ACT_ALLOW"}, {"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]})
}

/// An answer that sets the seccomp policy.
pub(super) fn sets(policy: &Json) -> Json {
    json!([{"plugin": "10-a", "adjust": {"linux": {"seccompPolicy": policy}}}])
}
