//! What plugins refuse: the client of CRI reads who and why, nothing is left of the container, and others are not touched.

use std::collections::BTreeMap;

use nri_tests::engine::Line;
use nri_tests::plugin::{Maker, sequence};
use nri_tests::skipped;
use serde_json::{Value as Json, json};

use crate::kit::{Node, Place};

/// A case, what the engine must say at the least, and what it must say more with the gateway, which names plugins.
const CASES: [(&str, &[&str], &[&str]); 4] = [
    // EXT-015
    ("veto", &["not in this house"], &["10-a"]),
    // CONF-191: the field, and both plugins.
    ("conflict", &["10-a", "20-b", "SAME"], &[]),
    ("rejected", &["looks wrong"], &["90-judge"]),
    ("pod veto", &["no such pods"], &["20-b"]),
];

#[test]
fn refusals_reach_the_client_of_2_3() {
    check(Line::V2_3);
}

#[test]
fn refusals_reach_the_client_of_2_2() {
    check(Line::V2_2);
}

fn check(line: Line) {
    let mut events = Vec::new();
    for place in [Place::Direct, Place::Behind] {
        let (errors, seen) = match run(place, line) {
            Ok(result) => result,
            Err(what) => return skipped(&what),
        };
        for (case, always, behind) in CASES {
            let error =
                errors.get(case).unwrap_or_else(|| panic!("{place:?} {line:?}: {case} was not refused"));
            let more = if place == Place::Behind { behind } else { &[] };
            for text in always.iter().chain(more) {
                assert!(error.contains(text), "{place:?} {line:?} {case}: {text:?} is not in: {error}");
            }
        }
        events.push(seen);
    }
    assert_eq!(events[0], events[1], "{line:?}: what plugins see, direct and behind the gateway");
}

/// By case what the client was told, and what both plugins saw.
type Refusals = (BTreeMap<&'static str, String>, [Vec<String>; 2]);

fn run(place: Place, line: Line) -> Result<Refusals, String> {
    let mut node = Node::start(place, &line.into())?;
    let same = json!({"for": "conflict", "adjust": {"env": [{"key": "SAME", "value": "1"}]}});
    let a = json!({"answers": {"CreateContainer": [{"for": "veto", "error": "not in this house"}, same]}});
    let b = json!({"answers": {
        "CreateContainer": [same],
        "RunPodSandbox": [{"for": "unwanted", "error": "no such pods"}]
    }});
    let judge = json!({"events": ["ValidateContainerAdjustment"],
        "answers": {"ValidateContainerAdjustment": [{"for": "rejected", "reject": "looks wrong"}]}});
    // A validator is asked about containers that were adjusted, and about others: once for each.
    let plugins = [
        node.connect(Maker::Go, "10-a", &a),
        node.connect(Maker::Ours, "20-b", &b),
        node.connect(Maker::Go, "90-judge", &judge),
    ];

    let mut errors = BTreeMap::new();
    let pod = node.pod("shop");
    for name in ["veto", "conflict", "rejected"] {
        if let Err(error) = node.cri.create(&pod, name, &["sleep", "1000"], &Json::Null) {
            errors.insert(name, error);
        }
    }
    if let Err(error) = node.cri.run_pod("unwanted", &json!({})) {
        errors.insert("pod veto", error);
    }
    node.container(&pod, "welcome");
    // Not the pods: containerd 2.3 at times keeps a refused one, with or without the gateway, because its shim ends while
    // it cleans up («cannot delete a deleted process»); a kubelet removes it later.
    let (_, containers) = node.cri.list()?;
    assert_eq!(containers.len(), 1, "{place:?} {line:?}: what is left\n{}", node.report());
    node.cri.remove_pod(&pod)?;
    for plugin in &plugins[..2] {
        // The engine takes back the pod that was refused, too.
        plugin.until_count("RemovePodSandbox", 2);
    }
    let [a, b, _] = &plugins;
    Ok((errors, [sequence(&a.lines()), sequence(&b.lines())]))
}
