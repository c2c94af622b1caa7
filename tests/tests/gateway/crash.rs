//! What ends a containerd or locks it up: adjustments that those with NRI up to 0.11 do not survive are refused before
//! them, and pass to newer ones; updates reach those with NRI up to 0.12.0 at a time when they cannot do harm.

use std::time::{Duration, Instant};

use nri_tests::engine::Line;
use nri_tests::plugin::Maker;
use nri_tests::skipped;
use rustix::process::Signal;
use serde_json::{Value as Json, json};

use crate::kit::{Node, Place, cgroup, until};

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
        until(&format!("{name}: the daemon has died"), || !node.engine.is_alive());
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

/// What the gateway's pauses before updates are for (`crates/nri/src/gateway/engine/updates.rs`): an update that comes
/// between the two locks of a removal is the end of all pod operations, with NRI up to 0.12.0.
#[test]
fn an_update_within_a_removal_locks_up_2_3_unless_behind_the_gateway() {
    for place in [Place::Direct, Place::Behind] {
        let mut node = match Node::start(place, &Line::V2_3.into()) {
            Ok(node) => node,
            Err(what) => return skipped(&what),
        };
        let locked = update_within_a_removal(&mut node);
        assert_eq!(locked, place == Place::Direct, "{place:?}\n{}", node.report());
    }
}

/// Whether the engine hangs after a plugin has updated a container, both in its answer to the stop of another one that is
/// being removed, and on its own account. It is killed then.
fn update_within_a_removal(node: &mut Node) -> bool {
    let pod = node.pod("shop");
    let target = node.container(&pod, "target");
    let spec = node.cri.spec(&target).unwrap();
    // Removal stops a container that never started, and keeps its lock for both.
    let removed = node.cri.create(&pod, "removed", &["sleep", "1000"], &Json::Null).unwrap();
    let update = |shares: u64| json!([{"containerId": target, "linux": {"resources": {"cpu": {"shares": {"value": shares}}}}}]);
    let answer = json!({"sleep_ms": 500, "update": update(400)});
    let script = json!({"events": ["StopContainer"], "answers": {"StopContainer": [answer]}});
    let mut plugin = node.connect(Maker::Go, "10-a", &script);
    let Node { cri, engine, .. } = node;
    let locked = std::thread::scope(|scope| {
        let removal = scope.spawn(|| cri.container("rm", &removed));
        plugin.until("StopContainer");
        plugin.tell(&json!({"do": "update", "update": update(401)}));
        // Longer than any time-out of the engine.
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline && !removal.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let locked = !removal.is_finished();
        if locked {
            engine.end(Signal::KILL);
        }
        assert_eq!(removal.join().unwrap().is_err(), locked);
        locked
    });
    if locked {
        node.engine.start_again();
    } else {
        until("the update is carried out", || cgroup(&spec, "cpu", "cpu.shares") == "401");
    }
    node.cri.remove_pod(&pod).unwrap();
    locked
}
