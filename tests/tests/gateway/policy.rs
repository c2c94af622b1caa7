//! A policy before a real engine: each kind of refusal reaches the client of CRI, what is dropped is absent, and a seccomp
//! policy passes only if it confines.

use nri_tests::engine::Line;
use nri_tests::plugin::Maker;
use nri_tests::skipped;
use serde_json::{Value as Json, json};

use crate::kit::{Node, Place, Settings};

/// One plugin that proves nothing, under rules for each way to violate them.
const POLICY: &str = r#"
apiVersion: policy.nri-rs/v1alpha1
kind: PluginPolicy
metadata: {name: node}
spec:
  defaultLevel: untrusted
  levels:
    - name: untrusted
      fields:
        env: {allow: [{name: "OURS_*"}], onViolation: drop-entry}
        annotations: {deny: ["@runtime-control"], onViolation: drop-plugin}
        mounts: {deny: ["@host-sensitive"]}
        seccomp: tighten
"#;

#[test]
fn a_policy_holds_before_2_3() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.yaml");
    std::fs::write(&file, POLICY).unwrap();
    let args = vec!["--policy".to_owned(), file.display().to_string()];
    let settings = Settings { line: Line::V2_3, args, ..Settings::default() };
    match Node::start(Place::Behind, &settings) {
        Ok(mut node) => check(&mut node),
        Err(what) => skipped(&what),
    }
}

fn check(node: &mut Node) {
    let env = json!([{"key": "OURS_A", "value": "1"}, {"key": "THEIRS", "value": "2"}]);
    let seccomp = |action: &str, names: &[&str]| {
        json!({"linux": {"seccompPolicy": {
            "defaultAction": action, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]}}})
    };
    let host = json!([{"destination": "/host", "source": "/", "type": "bind", "options": ["rbind"]}]);
    let answers = json!([
        {"for": "dropped", "adjust": {"env": env}},
        {"for": "plugin", "adjust": {"env": env, "annotations": {"run.oci.seccomp.receiver": "/s"}}},
        {"for": "mount", "adjust": {"env": env, "mounts": host}},
        {"for": "tighter", "adjust": seccomp("SCMP_ACT_ERRNO", &["read", "write", "exit_group"])},
        {"for": "looser", "adjust": seccomp("SCMP_ACT_ALLOW", &["read"])}]);
    let plugin = node.connect(Maker::Go, "10-a", &json!({"answers": {"CreateContainer": answers}}));
    let pod = node.pod("shop");
    let mut create = |name: &str| {
        let id = node.cri.create(&pod, name, &["sleep", "1000"], &Json::Null)?;
        node.cri.spec(&id)
    };

    let spec = create("dropped").unwrap();
    assert_eq!(variables(&spec), ["OURS_A=1"], "the other variable is dropped");
    let spec = create("plugin").unwrap();
    assert_eq!(variables(&spec), [""; 0], "all that the plugin asked for is dropped");
    assert!(!spec["annotations"].to_string().contains("run.oci"), "{}", spec["annotations"]);

    let refused = create("mount").unwrap_err();
    for text in ["10-a", "/host", "node/untrusted/mounts", "@host-sensitive"] {
        assert!(refused.contains(text), "{text:?} is not in: {refused}");
    }
    let spec = create("tighter").unwrap();
    assert_eq!(spec["linux"]["seccomp"]["syscalls"][0]["names"], json!(["read", "write", "exit_group"]));
    let refused = create("looser").unwrap_err();
    for text in ["10-a", "seccomp", "node/untrusted/seccomp", "ALLOW"] {
        assert!(refused.contains(text), "{text:?} is not in: {refused}");
    }
    // Whoever changes nothing is not touched.
    create("plain").unwrap();
    assert_eq!(plugin.lines().iter().filter(|line| line["event"] == "CreateContainer").count(), 6);
}

/// The variables of the container that plugins of this test set.
fn variables(spec: &Json) -> Vec<&str> {
    let env = spec["process"]["env"].as_array().unwrap().iter().filter_map(Json::as_str);
    env.filter(|variable| variable.starts_with("OURS_") || variable.starts_with("THEIRS")).collect()
}
