//! What a policy refuses and drops, in real containers under runc. Needs root.

use std::path::Path;
use std::process::{Command, Stdio};

use nri_tests::{is_root, ours, skipped};

use super::kit::policy;

fn can_run() -> bool {
    let possible =
        is_root() && ["/usr/sbin/runc", "/usr/bin/runc"].iter().any(|path| Path::new(path).exists());
    if !possible {
        skipped("containers under a policy; root and runc are needed");
    }
    possible
}

/// `nri run` of a script with the plugin that sets `HELLO`, under a policy: exit code, output, what was said.
fn run(spec: &str, script: &str) -> Option<(i32, String, String)> {
    if !can_run() {
        return None;
    }
    let folder = policy(spec);
    let output = Command::new(ours::nri())
        .args(["run", "--runtime", "runc", "--policy"])
        .arg(folder.path())
        .arg("--plugin")
        .arg(ours::example("hello"))
        .args(["--", "sh", "-c", script])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Some((output.status.code().unwrap(), text(output.stdout), text(output.stderr)))
}

#[test]
fn a_refusal_is_the_end() {
    let spec = "{defaultLevel: l, levels: [{name: l, fields: {env: deny}}]}";
    let Some((code, stdout, stderr)) = run(spec, "echo ran") else { return };
    assert_eq!((code, stdout.as_str()), (125, ""), "{stderr}");
    for part in ["00-hello", "env", "HELLO", "node/l/env", "reject"] {
        assert!(stderr.contains(part), "{part} is not in: {stderr}");
    }
}

#[test]
fn a_drop_is_an_absence() {
    let script = "echo \"[$HELLO]\"";
    for (rule, expect) in [
        ("allow", false),
        ("{allow: [], onViolation: drop-entry}", true),
        ("{allow: [], onViolation: drop-plugin}", true),
    ] {
        let spec = format!("{{defaultLevel: l, levels: [{{name: l, fields: {{env: {rule}}}}}]}}");
        let Some((code, stdout, stderr)) = run(&spec, script) else { return };
        assert_eq!((code, stdout.as_str() == "[]\n"), (0, expect), "{rule}: {stdout}{stderr}");
        assert_eq!(stderr.contains("drop-"), expect, "{stderr}");
    }
}

/// What is required and absent: nothing runs, and the text says who asks for whom.
#[test]
fn a_required_plugin_that_is_absent() {
    let spec = "{defaultLevel: l, levels: [{name: l, fields: {env: allow}}], require: [{plugin: guard}]}";
    let Some((code, stdout, stderr)) = run(spec, "echo ran") else { return };
    assert_eq!((code, stdout.as_str()), (125, ""), "{stderr}");
    assert!(
        stderr.contains("policy \"node\"") && stderr.contains("\"guard\", which is not connected"),
        "{stderr}"
    );
    let spec = "{defaultLevel: l, levels: [{name: l, fields: {env: allow}}], require: [{plugin: hello, meaning: owns, fields: [env]}]}";
    let Some((code, stdout, stderr)) = run(spec, "echo ran") else { return };
    assert_eq!((code, stdout.as_str()), (0, "ran\n"), "{stderr}");
}

/// A policy that does not load starts nothing.
#[test]
fn a_broken_policy_starts_nothing() {
    let Some((code, stdout, stderr)) = run("{defaultLevel: nobody}", "echo ran") else { return };
    assert_eq!((code, stdout.as_str()), (125, ""), "{stderr}");
    assert!(stderr.contains("E040"), "{stderr}");
}
