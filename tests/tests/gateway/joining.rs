//! Plugins that join while pods start see every pod and every container exactly once (`design.md` 5, "Joining").

use std::collections::BTreeMap;

use nri_tests::engine::Line;
use nri_tests::plugin::{Maker, Plugin};
use nri_tests::skipped;
use serde_json::{Value as Json, json};

use crate::kit::{Node, Place};

#[test]
fn joining_plugins_see_all_of_2_3_once() {
    check(Line::V2_3);
}

#[test]
fn joining_plugins_see_all_of_2_2_once() {
    check(Line::V2_2);
}

fn check(line: Line) {
    let mut node = match Node::start(Place::Behind, &line.into()) {
        Ok(node) => node,
        Err(what) => return skipped(&what),
    };
    let mut joined = Vec::new();
    for cycle in 0..10 {
        let maker = if cycle % 2 == 0 { Maker::Go } else { Maker::Ours };
        let join = |node: &Node| node.spawn(maker, &format!("{}-joining", 10 + cycle), &json!({}));
        // Early or late in the life of a pod, so that the cut comes at different requests.
        if cycle % 4 < 2 {
            joined.push(join(&node));
        }
        let pod = node.pod(&format!("pod{cycle}"));
        if cycle % 4 > 1 {
            joined.push(join(&node));
        }
        node.container(&pod, &format!("container{cycle}"));
    }
    for plugin in &joined {
        plugin.until("Synchronize");
    }
    // All that is before it in the queues of all plugins has been said once they have seen this one start.
    let pod = node.pod("last");
    node.container(&pod, "last");
    let (pods, containers) = node.cri.list().unwrap();
    for plugin in &joined {
        let last = |lines: &[Json]| {
            lines.iter().any(|l| l["event"] == "PostStartContainer" && l["container"]["name"] == "last")
        };
        crate::kit::until("the last container is seen", || last(&plugin.lines()));
        let report = || format!("{:#?}\n{}", plugin.lines().last(), node.report());
        assert_eq!(heard(plugin, "pods", "pod", "RunPodSandbox"), once(&pods), "{line:?}\n{}", report());
        let seen = heard(plugin, "containers", "container", "CreateContainer");
        assert_eq!(seen, once(&containers), "{line:?}\n{}", report());
        assert_eq!(plugin.lines().iter().filter(|line| line["event"] == "Synchronize").count(), 1);
    }
}

/// How often a plugin has heard of each: in Synchronize or by an event.
fn heard(plugin: &Plugin, list: &str, one: &str, event: &str) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for line in plugin.lines() {
        let all = line[list].as_array().cloned().unwrap_or_default();
        let created = (line["event"] == event).then(|| line[one].clone());
        for item in all.into_iter().chain(created) {
            *counts.entry(item["id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    counts
}

fn once(ids: &[String]) -> BTreeMap<String, u32> {
    ids.iter().map(|id| (id.clone(), 1)).collect()
}
