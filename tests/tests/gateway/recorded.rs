//! What really happened on an engine, in the recording.

use std::fs;

use nri_tests::engine::Line;
use nri_tests::plugin::Maker;
use nri_tests::skipped;
use rustix::process::Signal;
use serde_json::{Value as Json, json};

use crate::kit::{Node, Place, Settings};

/// Every container of the node has its line, with the answers of both plugins in their order, and no secret is in it.
#[test]
fn containers_of_an_engine_are_recorded() {
    const SECRET: &str = "correct-horse-battery";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("record.jsonl");
    let args = vec!["--record".to_owned(), file.display().to_string()];
    let script =
        json!({"answers": {"CreateContainer": [{"adjust": {"env": [{"key": "A", "value": SECRET}]}}]}});
    let launched = vec![(Maker::Ours, "10-launched", script)];
    let mut node =
        match Node::start(Place::Behind, &Settings { args, launched, ..Settings::from(Line::V2_3) }) {
            Ok(node) => node,
            Err(what) => return skipped(&what),
        };
    let connected = node.connect(Maker::Go, "20-connected", &json!({}));
    let pod = node.pod("pod");
    let containers = [node.container(&pod, "web"), node.container(&pod, "db")];
    assert_eq!(node.gateway.as_mut().unwrap().end(Signal::TERM).code(), Some(0), "{}", node.report());
    drop(connected);

    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains(SECRET), "{text}");
    let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let created: Vec<&Json> = lines.iter().filter(|line| line["event"] == "CreateContainer").collect();
    assert_eq!(
        created.iter().map(|line| &line["container"]["id"]).collect::<Vec<_>>(),
        containers.each_ref()
    );
    for line in created {
        assert_eq!(line["pod"]["id"], pod.as_str());
        let answers = line["answers"].as_array().unwrap();
        let plugins: Vec<_> = answers.iter().map(|answer| answer["plugin"].as_str().unwrap()).collect();
        assert_eq!(plugins, ["10-launched", "20-connected"]);
        let launched: Vec<_> = answers.iter().map(|answer| &answer["facts"]["launched"]).collect();
        assert_eq!(launched, [true, false], "{line}");
        // The digest of a program comes some time after its connection.
        assert!(answers.iter().all(|answer| answer["facts"]["exe"].is_string()), "{line}");
        assert_eq!(answers[0]["adjust"]["env"][0]["value"]["len"], SECRET.len());
    }
}
