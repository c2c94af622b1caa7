//! Plugins that are stopped, silent, dying, flooding or half registered: other containers are late by one deadline, once, and
//! the gateway keeps its connection to the engine.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nri_tests::engine::Line;
use nri_tests::plugin::{Maker, Plugin};
use nri_tests::skipped;
use rustix::process::Signal;
use serde_json::{Value as Json, json};

use crate::kit::{Node, Place};

/// The engine's time-out of a request, by default.
const DEADLINE: Duration = Duration::from_secs(2);
/// Less than that, more than a creation takes on a busy machine.
const QUICK: Duration = Duration::from_millis(1500);

#[test]
fn bad_plugins_delay_2_3_once() {
    check(Line::V2_3);
}

#[test]
fn bad_plugins_delay_2_2_once() {
    check(Line::V2_2);
}

fn check(line: Line) {
    let mut node = match Node::start(Place::Behind, &line.into()) {
        Ok(node) => node,
        Err(what) => return skipped(&what),
    };
    let good = json!({"events": ["CreateContainer"],
        "answers": {"CreateContainer": [{"adjust": {"env": [{"key": "GOOD", "value": "1"}]}}]}});
    let _good = node.connect(Maker::Ours, "50-good", &good);
    let pod = node.pod("shop");

    // EXT-014, but for the good plugin, which the reference would leave no time.
    let only = json!({"events": ["CreateContainer"]});
    let stopped = node.connect(Maker::Go, "10-stopped", &only);
    stopped.signal(Signal::STOP);
    late_once(&mut node, &pod, "stopped");
    drop(stopped);

    let never = json!({"events": ["CreateContainer"], "answers": {"CreateContainer": [{"never": true}]}});
    for (maker, name) in [(Maker::Go, "20-silent"), (Maker::Ours, "60-silent")] {
        let _silent = node.connect(maker, name, &never);
        late_once(&mut node, &pod, name);
    }

    for (maker, name) in [(Maker::Go, "20-dying"), (Maker::Ours, "60-dying")] {
        let script = json!({"events": ["CreateContainer"], "answers": {"CreateContainer": [{"exit": 3}]}});
        let _dying = node.connect(maker, name, &script);
        assert!(create(&mut node, &pod, &format!("{name} 1")) < QUICK, "{name}");
        assert!(create(&mut node, &pod, &format!("{name} 2")) < QUICK, "{name}");
    }

    // Half registered: connected, and never a word (quirk A8).
    let silent = UnixStream::connect(node.socket()).unwrap();
    assert!(create(&mut node, &pod, "half 1") < QUICK);
    let _other = node.connect(Maker::Go, "30-beside", &only);
    drop(silent);

    // Registered, and silent when it is told the state of the node: no creation may wait for its joining for long.
    let script = json!({"answers": {"Synchronize": [{"never": true}]}});
    let joining = node.connect(Maker::Go, "35-joining", &script);
    late_once(&mut node, &pod, "joining");
    drop(joining);

    // Together they take longer than the engine waits; none of them is late by itself. The creation fails, since one would
    // be left out without a fault of its own, the client reads where the time went, and nobody is closed.
    let slow = json!({"events": ["CreateContainer"], "answers": {"CreateContainer": [{"sleep_ms": 700}]}});
    let mut crowd = ["70-slow", "71-slow", "72-slow"].map(|name| node.connect(Maker::Go, name, &slow));
    let error = node.cri.create(&pod, "crowd", &["sleep", "1000"], &Json::Null).unwrap_err();
    assert!(error.contains("deadline is over") && error.contains("70-slow"), "{error}\n{}", node.report());
    assert!(crowd.iter_mut().all(Plugin::is_alive), "{}", node.report());
    drop(crowd);

    flood(&mut node, &pod);
    assert_eq!(node.connections(), 1, "{line:?}\n{}", node.report());
    node.cri.remove_pod(&pod).unwrap();
}

/// The first creation waits, and no further one; all are adjusted by the good plugin.
fn late_once(node: &mut Node, pod: &str, what: &str) {
    let first = create(node, pod, &format!("{what} 1"));
    assert!(first < DEADLINE + QUICK, "{what}: {first:?}\n{}", node.report());
    for n in 2..4 {
        let next = create(node, pod, &format!("{what} {n}"));
        assert!(next < QUICK, "{what}: {next:?}\n{}", node.report());
    }
}

/// Creates a container that the good plugin must have adjusted; how long that took.
fn create(node: &mut Node, pod: &str, name: &str) -> Duration {
    let begun = Instant::now();
    let id = node.cri.create(pod, name, &["sleep", "1000"], &Json::Null);
    let took = begun.elapsed();
    let id = id.unwrap_or_else(|error| panic!("{name}: {error}\n{}", node.report()));
    let spec = node.cri.spec(&id).unwrap();
    let env = spec["process"]["env"].as_array().into_iter().flatten();
    assert!(
        env.into_iter().any(|variable| variable == "GOOD=1"),
        "{name}: {}\n{}",
        spec["process"],
        node.report()
    );
    let removed = node.cri.container("rm", &id);
    removed.unwrap_or_else(|error| panic!("{name}: {error}\n{}", node.report()));
    took
}

/// Two thousand updates without a pause, while containers are created.
fn flood(node: &mut Node, pod: &str) {
    let target = node.container(pod, "target");
    let mut flooding = node.connect(Maker::Go, "40-flooding", &json!({"events": ["RunPodSandbox"]}));
    for shares in 0..2000 {
        let update = json!([{"containerId": target, "ignoreFailure": true,
            "linux": {"resources": {"cpu": {"shares": {"value": 100 + shares}}}}}]);
        if !flooding.tell(&json!({"do": "update", "update": update})) {
            // It does not read the refusals that it causes, and has been closed for that.
            node.gateway.as_ref().unwrap().wait_for("40-flooding", 1);
            break;
        }
        if shares % 500 == 0 {
            let took = create(node, pod, &format!("flooded {shares}"));
            assert!(took < DEADLINE + QUICK, "{took:?}\n{}", node.report());
        }
    }
}
