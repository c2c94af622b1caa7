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
    let (_, containers) = node.cri.list().unwrap();
    assert_eq!(containers.len(), 1, "{place:?} {line:?}: what is left\n{}", node.report());
    node.cri.remove_pod(&pod).unwrap();
    for plugin in &plugins[..2] {
        // The engine takes back the pod that was refused, too.
        plugin.until_count("RemovePodSandbox", 2);
    }
    let [a, b, _] = &plugins;
    Ok((errors, [sequence(&a.lines()), sequence(&b.lines())]))
}

/// An error of a plugin in any event: the same operations of the client fail with the gateway as without it, and say why
/// (quirk B6; engines let some pass).
#[test]
fn errors_in_any_event_fail_the_same_in_2_3() {
    check_events(Line::V2_3);
}

#[test]
fn errors_in_any_event_fail_the_same_in_2_2() {
    check_events(Line::V2_2);
}

const OF_CONTAINERS: [&str; 8] = [
    "CreateContainer",
    "PostCreateContainer",
    "StartContainer",
    "PostStartContainer",
    "UpdateContainer",
    "PostUpdateContainer",
    "StopContainer",
    "RemoveContainer",
];
const OF_PODS: [&str; 5] =
    ["RunPodSandbox", "UpdatePodSandbox", "PostUpdatePodSandbox", "StopPodSandbox", "RemovePodSandbox"];

fn check_events(line: Line) {
    match (failures(Place::Direct, line), failures(Place::Behind, line)) {
        (Ok(direct), Ok(behind)) => {
            assert!(direct.contains(&"CreateContainer: create, with the reason".to_owned()), "{direct:#?}");
            assert_eq!(direct, behind, "{line:?}: direct and behind the gateway");
        }
        (Err(what), _) | (_, Err(what)) => skipped(&what),
    }
}

/// Which operation failed because of an error in which event.
fn failures(place: Place, line: Line) -> Result<Vec<String>, String> {
    let mut node = Node::start(place, &line.into())?;
    // Each event has a container or pod of its name, and fails once for it.
    let answer = |event: &&str| {
        let answer = json!([{"for": event, "times": 1, "error": format!("{event} says no")}]);
        ((*event).to_owned(), answer)
    };
    let answers: Json = OF_CONTAINERS.iter().chain(&OF_PODS).map(answer).collect();
    let plugin = node.connect(Maker::Go, "10-a", &json!({"answers": answers}));
    let mut failures = Vec::new();
    let mut note = |event: &str, operation: &str, result: Result<Json, String>| match result {
        Ok(answer) => Some(answer),
        Err(error) => {
            let reason = if error.contains(&format!("{event} says no")) { "with" } else { "without" };
            failures.push(format!("{event}: {operation}, {reason} the reason"));
            None
        }
    };
    let pod = node.pod("shop");
    let resources = json!({"cpu_shares": "700"});
    for event in OF_CONTAINERS {
        let created = node.cri.create(&pod, event, &["sleep", "1000"], &Json::Null);
        let Some(id) = note(event, "create", created.map(Json::from)) else { continue };
        let id = id.as_str().unwrap_or_default().to_owned();
        note(event, "start", node.cri.container("start", &id));
        note(event, "update", node.cri.update(&id, &resources).map(|()| Json::Null));
        note(event, "stop", node.cri.container("stop", &id));
        note(event, "rm", node.cri.container("rm", &id));
    }
    for event in OF_PODS {
        let run = node.cri.run_pod(event, &json!({}));
        let Some(id) = note(event, "runp", run.map(Json::from)) else { continue };
        // To `updatepod` 2.2 answers «not implemented».
        let verbs = if line == Line::V2_3 { &["updatepod", "stopp", "rmp"][..] } else { &["stopp", "rmp"] };
        for verb in verbs {
            let line = json!({"do": verb, "pod": id, "resources": resources});
            note(event, verb, node.cri.ask(&line));
        }
    }
    let said = plugin.lines();
    let sent = |event: &&&str| line == Line::V2_3 || !event.contains("UpdatePod");
    for event in OF_CONTAINERS.iter().chain(&OF_PODS).filter(sent) {
        assert!(
            said.iter().any(|line| line["event"] == *event),
            "{place:?} {line:?}: no {event}: {failures:#?}"
        );
    }
    Ok(failures)
}
