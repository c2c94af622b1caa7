//! Registration, subscription, synchronization, and plugins that the host launches.

use std::time::Duration;

use nri_runtime::host::{Config, Outcome};
use nri_tests::proto;
use rustix::process::Signal;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::kit::{Node, outcomes, patient, pod, soon};

/// A host that knows this many pods and containers, each with so many bytes of text.
fn populated(pods: usize, containers: usize, bytes: usize) -> Config {
    let pod = |n: usize| proto::message(&json!({"id": format!("pod{n}")}));
    let container = |n: usize| {
        proto::message(&json!({"id": format!("ctr{n}"), "podSandboxId": format!("pod{}", n % pods),
            "annotations": {"text": "x".repeat(bytes)}}))
    };
    Config {
        pods: (0..pods).map(pod).collect(),
        containers: (0..containers).map(container).collect(),
        ..patient()
    }
}

fn ids(list: &Json) -> Vec<String> {
    let mut ids: Vec<_> = list
        .as_array()
        .into_iter()
        .flatten()
        .map(|object| object["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

fn numbered(what: &str, count: usize) -> Vec<String> {
    let mut ids: Vec<_> = (0..count).map(|n| format!("{what}{n}")).collect();
    ids.sort();
    ids
}

/// CONF-114, 115: a plugin sees Configure, then the state whole, and nothing else until something happens.
#[tokio::test]
async fn the_state_arrives() {
    let Some(node) = Node::start(populated(2, 3, 10)).await else { return };
    let mut plugin = node.plugin("10-some", &json!({})).await;
    node.host.run_pod_sandbox(pod(), soon()).await.unwrap();
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line: &Json| line["event"] != "RunPodSandbox") {
        lines.extend(plugin.line().await.filter(|line| line["event"] != "started"));
    }
    let [configure, state, _run] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&configure["event"], &state["event"]), (&json!("Configure"), &json!("Synchronize")));
    assert_eq!(ids(&state["pods"]), numbered("pod", 2));
    assert_eq!(ids(&state["containers"]), numbered("ctr", 3));
    let container = proto::json(&populated(2, 3, 10).containers[0]);
    assert!(state["containers"].as_array().unwrap().contains(&container), "{state}");
}

/// EXT-020, 021: more than one message holds arrives whole, in any proportion of pods to containers.
#[tokio::test]
async fn a_large_state_arrives_whole() {
    for (pods, containers, bytes) in [(30, 300, 30 << 10), (1, 30, 200_000), (4, 4, 1_200_000)] {
        let Some(node) = Node::start(populated(pods, containers, bytes)).await else { return };
        let mut plugin = node.plugin("10-some", &json!({})).await;
        let state = plugin.until("Synchronize").await;
        assert_eq!(ids(&state["pods"]), numbered("pod", pods));
        assert_eq!(ids(&state["containers"]), numbered("ctr", containers));
        let text = &state["containers"][containers - 1]["annotations"]["text"];
        assert_eq!(text.as_str().unwrap().len(), bytes);

        let mut raw = node.active("20-raw", &json!({}), &["-style", "raw"]).await;
        node.host.shutdown().await;
        let lines = raw.rest().await;
        let parts: Vec<_> = lines.iter().filter(|line| line["event"] == "Synchronize").collect();
        let more: Vec<_> = parts.iter().map(|part| part["request"]["more"] == true).collect();
        assert!(
            parts.len() > 1 && more[..more.len() - 1].iter().all(|more| *more) && !more[more.len() - 1],
            "{more:?}"
        );
        let all: Vec<_> = parts.iter().flat_map(|part| ids(&part["request"]["containers"])).collect();
        assert_eq!(all.len(), containers, "each just once");
    }
}

/// EXT-024: a plugin that takes a part for the whole is closed; the host goes on.
#[tokio::test]
async fn plugins_that_cannot_take_parts() {
    let Some(node) = Node::start(populated(30, 300, 30 << 10)).await else { return };
    for response in [json!({}), json!({"more": true, "update": [{"containerId": "ctr0"}]})] {
        let script = json!({"answers": {"Synchronize": [{"response": response}]}});
        let name = if response == json!({}) { "10-simple" } else { "10-hasty" };
        let mut plugin = node.spawn(name, &script, &["-style", "raw"]);
        let parts = plugin.rest().await.iter().filter(|line| line["event"] == "Synchronize").count();
        assert_eq!((parts, node.host.active()), (1, 0));
    }
    node.created("server").await;
}

/// A plugin that stands still while it joins, with megabytes to be told, holds nobody up and is closed.
#[tokio::test]
async fn a_newcomer_that_stands_still() {
    let config = Config { request_timeout: Duration::from_secs(1), ..populated(3, 9, 1 << 20) };
    let Some(node) = Node::start(config).await else { return };
    let script = json!({"answers": {"Synchronize": [{"sleep_ms": 500}]}});
    let mut newcomer = node.spawn("10-newcomer", &script, &["-style", "raw"]);
    newcomer.until("Synchronize").await;
    newcomer.signal(Signal::STOP);
    let (end, mut slowest) = (soon(), Duration::ZERO);
    while !node.host.status().await.0.is_empty() {
        let before = Instant::now();
        assert!(before < end, "it is never closed");
        let created = node.created("server").await;
        assert!(created.plugins.is_empty(), "{:?}", created.plugins);
        slowest = slowest.max(before.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    newcomer.signal(Signal::CONT);
    newcomer.rest().await;
    assert_eq!(node.host.active(), 0);
}

/// CONF-113: names are checked; who has a bad one is told so and closed.
#[tokio::test]
async fn names() {
    let Some(node) = Node::start(patient()).await else { return };
    let _good = node.active("10-abcd-0123+EFGH_4567.ijkl", &json!({}), &["-style", "raw"]).await;
    for (name, expect) in [
        ("10-foo,bar", "invalid plugin name"),
        ("1-some", "invalid plugin index"),
        ("1x-some", "invalid plugin index"),
    ] {
        let mut bad = node.spawn(name, &json!({}), &["-style", "raw"]);
        let error = bad.until("registered").await["error"].as_str().unwrap().to_owned();
        assert!(error.contains(expect), "{name}: {error}");
        bad.rest().await;
    }
    let mut stub = node.spawn("20-foo,bar", &json!({}), &[]);
    stub.until("failed").await;
    assert_eq!(node.host.active(), 1);
}

/// EXT-011: a subscription to what is no event is refused.
#[tokio::test]
async fn unknown_events() {
    let Some(node) = Node::start(patient()).await else { return };
    for mask in [1 << 14, 1 << 24, -1] {
        let mut plugin =
            node.spawn(&format!("10-bit{}", mask & 7), &json!({"mask": mask}), &["-style", "raw"]);
        let lines = plugin.rest().await;
        assert!(lines.iter().any(|line| line["event"] == "Configure"));
        assert!(lines.iter().all(|line| line["event"] != "Synchronize"), "{mask:#x}");
    }
    assert_eq!(node.host.active(), 0);
}

/// EXT-036: who registers again is refused and keeps its name. EXT-035: who has not registered may ask for nothing.
#[tokio::test]
async fn registration() {
    let Some(node) = Node::start(patient()).await else { return };
    let mut twice = node.active("10-twice", &json!({}), &["-style", "raw", "-registrations", "2"]).await;
    assert!(twice.until("registered").await["error"].is_null());
    let error = twice.until("registered").await["error"].as_str().unwrap().to_owned();
    assert!(error.contains("already registered"), "{error}");
    assert_eq!(outcomes(&node.created("server").await), [("10-twice", Outcome::Answer)]);

    let mut early = node.spawn("20-early", &json!({}), &["-style", "raw", "-registrations", "0"]);
    early.tell(&json!({"do": "update", "update": [{"containerId": "id-server"}]}));
    let error = early.until("updated").await["error"].as_str().unwrap().to_owned();
    assert!(error.contains("not registered"), "{error}");
    assert_eq!(node.host.active(), 1);
}

/// A connection that never registers is closed when its time is over, and has delayed nobody.
#[tokio::test]
async fn a_connection_that_never_registers() {
    let config = Config { registration_timeout: Duration::from_millis(700), ..patient() };
    let Some(node) = Node::start(config).await else { return };
    let mut never = node.spawn("10-never", &json!({}), &["-style", "raw", "-registrations", "0"]);
    let _other = node.plugin("20-other", &json!({})).await;
    assert_eq!(outcomes(&node.created("server").await), [("20-other", Outcome::Answer)]);
    assert_eq!(never.rest().await, Vec::<Json>::new());
}

/// A Go plugin in the plugin directory is launched, gets its drop-in configuration, works, is started again when it
/// dies, and is told to shut down. What is no plugin, EXT-037, is left alone.
#[tokio::test]
async fn a_launched_plugin() {
    let Ok(go) = nri_tests::go::peers().map_err(nri_tests::skipped) else { return };
    let root = tempfile::tempdir().unwrap();
    let (plugins, configs, output) =
        (root.path().join("plugins"), root.path().join("conf.d"), root.path().join("lines"));
    std::fs::create_dir(&plugins).unwrap();
    std::fs::create_dir(&configs).unwrap();
    std::os::unix::fs::symlink(go, plugins.join("10-go")).unwrap();
    std::os::unix::fs::symlink(go, plugins.join("README")).unwrap();
    std::fs::write(plugins.join("20-plain"), "no program").unwrap();
    let script = json!({"output": output, "events": ["CreateContainer"], "answers": {
        "CreateContainer": [{"for": "deadly", "exit": 1}, {"adjust": {"env": [{"key": "A", "value": "1"}]}}]}});
    std::fs::write(configs.join("go.conf"), script.to_string()).unwrap();
    let config = Config { plugin_dir: Some(plugins), plugin_config_dir: Some(configs), ..patient() };
    let Some(node) = Node::start(config).await else { return };

    let (status, _) = node.host.status().await;
    assert_eq!(status.len(), 1, "it is there once the host has started");
    assert!(status[0].launched && status[0].active && status[0].name.full() == "10-go");
    assert_eq!(outcomes(&node.created("deadly").await), [("10-go", Outcome::Gone)]);
    node.left(0).await;
    assert!(node.host.wait_active(1, soon()).await, "started again");
    assert_eq!(node.created("server").await.merged.adjust.env[0].key, "A");
    let (status, totals) = node.host.status().await;
    assert_eq!(totals.restarts, 1);
    let pid = status[0].pid.unwrap();
    node.host.shutdown().await;
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "reaped");

    let text = std::fs::read_to_string(&output).unwrap();
    let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let config: Json = serde_json::from_str(lines[0]["config"].as_str().unwrap()).unwrap();
    assert_eq!(config, script);
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    for event in ["Configure", "Synchronize", "CreateContainer", "Shutdown"] {
        assert!(events.contains(&event), "{events:?}");
    }
}
