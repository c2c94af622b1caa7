//! Updates of other containers, by every way that plugins have, take effect in the engine.

use std::time::{Duration, Instant};

use nri_tests::engine::Line;
use nri_tests::plugin::Maker;
use nri_tests::skipped;
use serde_json::{Value as Json, json};

use crate::kit::{Node, Place, cgroup, until};

#[test]
fn updates_take_effect_in_2_3() {
    check(Line::V2_3);
}

#[test]
fn updates_take_effect_in_2_2() {
    check(Line::V2_2);
}

fn check(line: Line) {
    let outcomes = [run(Place::Direct, line), run(Place::Behind, line)];
    match outcomes {
        [Ok(direct), Ok(behind)] => {
            assert_eq!(direct.unknown, behind.unknown, "{line:?}: an update of an unknown container");
            // The reference reports an error and drops the list (quirk C15); the list is what a plugin can use.
            assert!(direct.failing["error"].is_string(), "{line:?}: {}", direct.failing);
            assert_eq!(behind.failing["failed"][0]["containerId"], behind.target, "{}", behind.failing);
        }
        [Err(what), _] | [_, Err(what)] => skipped(&what),
    }
}

/// The lines `updated` of updates that could not work, and whom they were for.
struct Outcomes {
    unknown: Json,
    failing: Json,
    target: String,
}

fn run(place: Place, line: Line) -> Result<Outcomes, String> {
    let mut node = Node::start(place, &line.into())?;
    let pod = node.pod("shop");
    let target = node.container(&pod, "target");
    let spec = node.cri.spec(&target).unwrap();
    let shares = |what: &str, expected: &str| {
        until(&format!("{place:?} {line:?}: {what}"), || cgroup(&spec, "cpu", "cpu.shares") == expected);
    };
    let update = |shares: u64| json!([{"containerId": target, "linux": {"resources": {"cpu": {"shares": {"value": shares}}}}}]);

    // CONF-225
    let mut outside = node.connect(Maker::Go, "10-outside", &json!({"events": ["RunPodSandbox"]}));
    let line_updated = outside.update(&update(401));
    assert!(line_updated["error"].is_null(), "{line_updated}\n{}", node.report());
    shares("an unsolicited update", "401");
    let mut unknown = update(402);
    unknown[0]["containerId"] = json!("nobody");
    let unknown = outside.update(&unknown);
    let mut failing = update(403);
    failing[0]["linux"]["resources"]["cpu"]["cpus"] = json!("9999");
    let failing = outside.update(&failing);

    let answers = json!({"answers": {
        "Synchronize": [{"update": update(410)}],
        "CreateContainer": [{"for": "other", "update": update(411)}],
        "StopContainer": [{"for": "other", "update": update(412)}],
        "UpdateContainer": [{"for": "target", "update": update(413)}]
    }});
    let _answers = node.connect(Maker::Go, "20-answers", &answers);
    shares("in the answer to Synchronize", "410");
    let other = node.container(&pod, "other");
    shares("in the answer to CreateContainer", "411");
    node.cri.container("stop", &other).unwrap();
    shares("in the answer to StopContainer", "412");
    // CONF-209: the client asked for other shares.
    node.cri.update(&target, &json!({"cpu_shares": "700"})).unwrap();
    shares("in the answer to UpdateContainer", "413");

    // From within a handler an engine up to NRI 0.12.0 hangs, because it holds one lock over both calls. The gateway
    // takes such an update at once, and has it done with its answer or after it.
    if place == Place::Behind {
        for (event, number) in [("CreateContainer", 420), ("StartContainer", 421), ("StopContainer", 422)] {
            let script = json!({"events": [event],
                "answers": {event: [{"for": event, "update_within": update(number)}]}});
            let within = node.connect(Maker::Ours, "30-within", &script);
            let begun = Instant::now();
            let other = node.cri.create(&pod, event, &["sleep", "1000"], &Json::Null).unwrap();
            if event == "StartContainer" {
                node.cri.container("start", &other).unwrap();
            }
            // A container that never started is stopped by its removal, under one lock of containerd with it.
            node.cri.container("rm", &other).unwrap();
            assert!(begun.elapsed() < Duration::from_millis(1800), "{event}: {:?}", begun.elapsed());
            shares(&format!("from within {event}"), &number.to_string());
            assert_eq!(within.until("updated"), json!({"event": "updated", "failed": []}), "{event}");
        }
    }
    node.cri.remove_pod(&pod).unwrap();
    Ok(Outcomes { unknown, failing, target })
}
