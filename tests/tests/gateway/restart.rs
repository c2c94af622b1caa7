//! The engine ends and comes again while plugins are connected: the gateway reconnects, plugins stay, and get a fresh
//! picture only where theirs has become false.

use std::collections::BTreeSet;

use nri_tests::engine::Line;
use nri_tests::plugin::Maker;
use nri_tests::skipped;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value as Json, json};

use crate::kit::{Node, Place, Settings, until};

#[test]
fn plugins_outlive_2_3() {
    check(Line::V2_3);
}

#[test]
fn plugins_outlive_2_2() {
    check(Line::V2_2);
}

fn check(line: Line) {
    let launched = vec![(Maker::Ours, "20-launched", json!({}))];
    let mut node = match Node::start(Place::Behind, &Settings { line, launched, ..Settings::default() }) {
        Ok(node) => node,
        Err(what) => return skipped(&what),
    };
    let mut connected = node.connect(Maker::Go, "10-connected", &json!({}));
    let pod = node.pod("shop");
    let [web, victim, removed] = ["web", "victim", "removed"].map(|name| node.container(&pod, name));
    let syncs = |lines: &[Json]| lines.iter().filter(|line| line["event"] == "Synchronize").count();

    // Nothing changes meanwhile: their picture is true.
    for (n, signal) in [(2, Signal::TERM), (3, Signal::KILL)] {
        node.engine.end(signal);
        node.engine.start_again();
        until("the gateway is there again", || node.connections() == n);
        let name = format!("after {n}");
        let id = node.container(&pod, &name);
        agree(&mut node, &connected.lines(), &id);
        assert_eq!(syncs(&connected.lines()), 1, "{line:?} {signal:?}\n{}", node.report());
    }

    // A container ends while nobody watches.
    let info = node.cri.container("inspect", &victim).unwrap();
    let pid = info.pointer("/info/pid").and_then(Json::as_i64).unwrap();
    node.engine.end(Signal::KILL);
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    node.engine.start_again();
    until("the gateway is there again", || node.connections() == 4);
    connected.until_count("Synchronize", 2);
    node.until_launched("20-launched", "Synchronize", 2);

    // The engine works for a while without the gateway: a container goes that plugins know, one comes that they do not.
    node.engine.end(Signal::TERM);
    node.gateway().signal(Signal::STOP);
    node.engine.start_again();
    node.cri.container("stop", &removed).unwrap();
    node.cri.container("rm", &removed).unwrap();
    node.container(&pod, "unseen");
    node.gateway().signal(Signal::CONT);
    until("the gateway is there again", || node.connections() == 5);
    connected.until_count("Synchronize", 3);
    node.until_launched("20-launched", "Synchronize", 3);

    let last = node.container(&pod, "last");
    node.cri.container("stop", &web).unwrap();
    node.cri.container("rm", &web).unwrap();
    agree(&mut node, &connected.lines(), &last);
    let launched = node.launched("20-launched");
    agree(&mut node, &launched, &last);
    for (name, lines) in [("connected", connected.lines()), ("launched", launched)] {
        let configured = lines.iter().filter(|line| line["event"] == "Configure").count();
        assert_eq!((configured, syncs(&lines)), (1, 3), "{name} {line:?}\n{}", node.report());
    }
    assert!(connected.is_alive(), "{line:?}");
    node.cri.remove_pod(&pod).unwrap();
}

/// The daemon is killed while a plugin holds a creation. The container never comes to be, and no plugin goes on to think
/// that it is there.
#[test]
fn a_creation_that_dies_with_2_3() {
    check_interrupted(Line::V2_3);
}

#[test]
fn a_creation_that_dies_with_2_2() {
    check_interrupted(Line::V2_2);
}

fn check_interrupted(line: Line) {
    let mut node = match Node::start(Place::Behind, &line.into()) {
        Ok(node) => node,
        Err(what) => return skipped(&what),
    };
    let quick = node.connect(Maker::Ours, "10-quick", &json!({}));
    let holds = json!({"answers": {"CreateContainer": [{"for": "interrupted", "sleep_ms": 1000}]}});
    let slow = node.connect(Maker::Go, "20-slow", &holds);
    let pod = node.pod("shop");
    let Node { cri, engine, .. } = &mut node;
    std::thread::scope(|scope| {
        let creation = scope.spawn(|| cri.create(&pod, "interrupted", &["sleep", "1000"], &Json::Null));
        slow.until("CreateContainer");
        engine.end(Signal::KILL);
        creation.join().unwrap().unwrap_err();
    });
    node.engine.start_again();
    until("the gateway is there again", || node.connections() == 2);
    let next = node.container(&pod, "next");
    for plugin in [&quick, &slow] {
        agree(&mut node, &plugin.lines(), &next);
    }
}

/// The plugin's picture is the engine's.
fn agree(node: &mut Node, lines: &[Json], last: &str) {
    assert!(
        lines.iter().any(|line| line["container"]["id"] == last),
        "a plugin has not seen the last container"
    );
    let running = |item: &&Json| item["state"] == "CONTAINER_RUNNING" || item["state"] == "CONTAINER_CREATED";
    let answer = node.cri.ask(&json!({"do": "ps"})).unwrap();
    let ids = |items: Vec<&Json>| -> BTreeSet<String> {
        items.into_iter().filter_map(|item| item["id"].as_str().map(str::to_owned)).collect()
    };
    let containers = ids(answer["containers"].as_array().into_iter().flatten().filter(running).collect());
    let pods = ids(answer["pods"].as_array().into_iter().flatten().collect());
    assert_eq!(view(lines), (pods, containers), "the plugin's view and the engine's\n{}", node.report());
}

/// The pods and the containers that a plugin must think there are.
fn view(lines: &[Json]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut pods, mut containers) = (BTreeSet::new(), BTreeSet::new());
    let id = |item: &Json| item["id"].as_str().unwrap_or_default().to_owned();
    let ids = |list: &Json| list.as_array().into_iter().flatten().map(id).collect();
    for line in lines {
        match line["event"].as_str().unwrap_or_default() {
            "Synchronize" => (pods, containers) = (ids(&line["pods"]), ids(&line["containers"])),
            "RunPodSandbox" => drop(pods.insert(id(&line["pod"]))),
            "RemovePodSandbox" => drop(pods.remove(&id(&line["pod"]))),
            "CreateContainer" => drop(containers.insert(id(&line["container"]))),
            "StopContainer" | "RemoveContainer" => drop(containers.remove(&id(&line["container"]))),
            _ => {}
        }
    }
    (pods, containers)
}
