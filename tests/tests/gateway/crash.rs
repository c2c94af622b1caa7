//! Adjustments that end a containerd with NRI up to 0.11 are refused before it, and pass to newer ones.

use nri_tests::engine::Line;
use nri_tests::plugin::Maker;
use nri_tests::skipped;
use serde_json::{Value as Json, json};

use crate::kit::{Node, Place};

fn script() -> Json {
    json!({"answers": {"CreateContainer": [
        {"for": "sysctl", "adjust": {"linux": {"sysctl": {"kernel.shm_rmid_forced": "1"}}}},
        {"for": "errno", "adjust": {"linux": {"seccompPolicy": {
            "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": {"value": 30}}]}}}}
    ]}})
}

/// The client reads the field, the engine and the version that it would take; the daemon lives.
#[test]
fn the_gateway_saves_2_2() {
    let mut node = match Node::start(Place::Behind, &Line::V2_2.into()) {
        Ok(node) => node,
        Err(what) => return skipped(&what),
    };
    let _plugin = node.connect(Maker::Go, "10-a", &script());
    let pod = node.pod("shop");
    for (name, field) in [("sysctl", "sysctl"), ("errno", "errnoRet")] {
        let error = node.cri.create(&pod, name, &["sleep", "1000"], &Json::Null).unwrap_err();
        for text in [field, "containerd", "0.12"] {
            assert!(error.contains(text), "{name}: {text:?} is not in: {error}");
        }
        assert!(node.engine.is_alive(), "{name}\n{}", node.report());
    }
    node.container(&pod, "harmless");
}

/// What the refusal is for. If this fails, newer releases of 2.2 have been mended, and need no refusal any more.
#[test]
fn without_the_gateway_2_2_dies() {
    for name in ["sysctl", "errno"] {
        let mut node = match Node::start(Place::Direct, &Line::V2_2.into()) {
            Ok(node) => node,
            Err(what) => return skipped(&what),
        };
        let _plugin = node.connect(Maker::Go, "10-a", &script());
        let pod = node.pod("shop");
        node.cri.create(&pod, name, &["sleep", "1000"], &Json::Null).unwrap_err();
        crate::kit::until(&format!("{name}: the daemon has died"), || !node.engine.is_alive());
        // Takes the pod down.
        node.engine.start_again();
        node.cri.remove_pod(&pod).unwrap();
    }
}

#[test]
fn to_2_3_both_pass() {
    let mut node = match Node::start(Place::Behind, &Line::V2_3.into()) {
        Ok(node) => node,
        Err(what) => return skipped(&what),
    };
    let _plugin = node.connect(Maker::Go, "10-a", &script());
    let pod = node.pod("shop");
    let id = node.container(&pod, "errno");
    let (output, code) = node.cri.exec(&id, &["mkdir", "/tmp/made"]).unwrap();
    assert!(output.contains("Read-only file system") && code == 1, "{output:?} {code}\n{}", node.report());
    let id = node.container(&pod, "sysctl");
    let (output, _) = node.cri.exec(&id, &["cat", "/proc/sys/kernel/shm_rmid_forced"]).unwrap();
    assert_eq!(output.trim(), "1", "{}", node.report());
}
