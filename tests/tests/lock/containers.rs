//! What a policy refuses and drops, in real containers under runc. Needs root.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nri_tests::wait::until;
use nri_tests::{bundle, is_root, ours, process, skipped};
use serde_json::json;

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

/// The case that began it: a local profile whose agent's socket depends on the pod. The plugin may lead the listener to
/// another permitted path, where the agent gets the calls; elsewhere it may not.
#[test]
fn the_listener_of_a_local_profile() {
    if !can_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let profile = |listener: &Path| {
        json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": listener,
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]})
    };
    bundle::write(
        folder.path(),
        &profile(&path("default.sock")),
        &["sh", "-c", "mkdir /tmp/made || echo kept out"],
    )
    .unwrap();
    symlink(ours::scripted_plugin(), path("10-a")).unwrap();
    let policy = policy(&format!(
        "{{defaultLevel: l, levels: [{{name: l, fields: {{seccomp: {{localhost: listener, listener: {{paths: [{}]}}}}}}}}], \
         invariants: [no-seccomp-loosening]}}",
        json!(path("*.sock"))
    ));
    let run = |listener: &Path| {
        let adjust = json!({"linux": {"seccompPolicy": profile(listener)}});
        let script = json!({"output": path("lines"), "answers": {"CreateContainer": [{"adjust": adjust}]}});
        fs::write(path("script"), script.to_string()).unwrap();
        let plugin = format!("{}={}", path("10-a").display(), path("script").display());
        let output = Command::new(ours::nri())
            .args([
                "run",
                "--runtime",
                "runc",
                "--seccomp-class",
                "localhost",
                "--plugin",
                &plugin,
                "--bundle",
            ])
            .arg(folder.path())
            .arg("--policy")
            .arg(policy.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (code, stdout, stderr) = run(&path("elsewhere"));
    assert_eq!((code, stdout.as_str()), (125, ""), "{stderr}");
    assert!(stderr.contains("node/l/seccomp") && stderr.contains("10-a"), "{stderr}");

    let mut agent = Command::new(ours::nri())
        .args(["seccomp", "listen", "--once", "--action", "errno=30"])
        .arg(path("p1.sock"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("the agent listens", || path("p1.sock").exists());
    let (code, stdout, stderr) = run(&path("p1.sock"));
    process::end(&mut agent, Duration::from_secs(5));
    assert_eq!((code, stdout.as_str()), (0, "kept out\n"), "{stderr}");
}
