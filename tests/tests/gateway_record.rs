//! `nri gateway --record`: what is in the recording, what is not, and what becomes of it when the disk is full.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is the failure report")]

use std::fs;
use std::path::Path;
use std::process::Command;

use nri_tests::fake_engine::{Client, FakeEngine, container, pod};
use nri_tests::gateway::{Gateway, Settings};
use nri_tests::plugin::{Maker, Plugin};
use nri_tests::wait::until_async as until;
use nri_tests::{is_root, skipped};
use nri_wire::api::{Container, LinuxResources};
use rustix::process::Signal;
use serde_json::{Value as Json, json};

const SECRET: &str = "correct-horse-battery";

/// A gateway with a recording between a fake engine and one plugin.
struct Node {
    gateway: Gateway,
    client: Client,
    plugin: Plugin,
    _engine: FakeEngine,
    _folder: tempfile::TempDir,
}

impl Node {
    async fn start(record: &Path, args: &[&str], script: &Json) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let engine = FakeEngine::bind(&socket).unwrap();
        let mut settings = Settings { args: vec!["--record".into(), record.into()], ..Settings::default() };
        settings.args.extend(args.iter().map(Into::into));
        let gateway = Gateway::spawn(&socket, &settings);
        let client = engine.joined(vec![pod("p1")], vec![secretive("c0")]).await;
        let plugin = Plugin::connect(Maker::Ours, &gateway.socket(), "10-a", script, folder.path()).unwrap();
        until("the plugin is active", || plugin.lines().iter().any(|line| line["event"] == "Synchronize"))
            .await;
        Self { gateway, client, plugin, _engine: engine, _folder: folder }
    }

    async fn said(&self, text: &str) {
        until(text, || self.gateway.log().contains(text)).await;
    }

    /// Ends the gateway, which writes what waits.
    fn end(mut self) {
        assert_eq!(self.gateway.end(Signal::TERM).code(), Some(0), "{}", self.gateway.log());
    }
}

fn secretive(id: &str) -> Container {
    let mut container = container(id, "p1");
    container.env = vec![format!("TOKEN={SECRET}")];
    container.args.push(SECRET.to_owned());
    container
}

fn lines(text: &str) -> Vec<Json> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn events(lines: &[Json]) -> Vec<&str> {
    lines.iter().map(|line| line["event"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn requests_and_answers_are_recorded_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let (file, old) = (folder.path().join("r"), folder.path().join("r.1"));
    let limit = json!([{"containerId": "c0", "linux": {"resources": {"cpu": {"cpus": "1"}}}}]);
    let script = json!({"answers": {
        "CreateContainer": [
            {"for": "container-bad", "error": format!("TOKEN must not be {SECRET}")},
            {"adjust": {"env": [{"key": "A", "value": SECRET}]}}],
        "StopContainer": [{"update": limit}],
    }});
    let mut node = Node::start(&file, &[], &script).await;
    node.client.create(&pod("p1"), &secretive("c1")).await.unwrap();
    node.client.create(&pod("p1"), &secretive("bad")).await.unwrap_err();
    node.client.update(&pod("p1"), &secretive("c1"), LinuxResources::default()).await.unwrap();
    node.client.stop(&pod("p1"), &secretive("c1")).await.unwrap();
    let lines_of = |file: &Path| fs::read_to_string(file).unwrap_or_default().lines().count();
    until("what came before the rename is written", || lines_of(&file) == 6).await;
    fs::rename(&file, &old).unwrap();
    node.gateway.signal(Signal::HUP);
    until("the recording is opened anew", || file.exists()).await;
    node.plugin.tell(&json!({"do": "update", "update": limit}));
    node.client.asked().await;
    node.end();

    let text = fs::read_to_string(&old).unwrap() + &fs::read_to_string(&file).unwrap();
    assert!(!text.contains(SECRET), "{text}");
    let mut lines = lines(&text);
    for answer in lines.iter_mut().filter_map(|line| line["answers"].get_mut(0)) {
        // Of all that answered; the refusal is no answer.
        let facts = answer.as_object_mut().unwrap().remove("facts");
        assert_eq!(facts.is_none(), answer.get("error").is_some(), "{answer}");
        if let Some(facts) = facts {
            assert_eq!(facts["uid"], rustix::process::geteuid().as_raw());
        }
    }
    assert_eq!(
        events(&lines),
        [
            "Synchronize",
            "Synchronize",
            "CreateContainer",
            "CreateContainer",
            "UpdateContainer",
            "StopContainer",
            "UpdateContainers"
        ]
    );
    assert_eq!(lines_of(&file), 1);
    let code = &lines[0]["containers"][0]["env"][0];
    assert_eq!((&code["key"], &code["len"]), (&json!("TOKEN"), &json!(SECRET.len())));
    assert_eq!(lines[1]["answers"], json!([{"plugin": "10-a", "update": []}]));
    assert_eq!(lines[2]["container"]["id"], "c1");
    assert_eq!(lines[2]["answers"][0]["adjust"]["env"][0]["value"]["hmac"], code["hmac"]);
    assert_eq!(lines[3]["answers"], json!([{"plugin": "10-a", "error": "TOKEN must not be <hidden>"}]));
    assert_eq!(lines[4]["resources"], json!({}));
    let known = json!({"c0": {"namespace": "team-a", "labels": {}, "resources": {}}});
    for line in &lines[5..] {
        assert_eq!((&line["answers"][0]["update"], &line["targets"]), (&limit, &known));
    }
}

#[tokio::test]
async fn secrets_are_recorded_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r");
    let node = Node::start(&file, &["--record-secrets"], &json!({})).await;
    node.client.create(&pod("p1"), &secretive("c1")).await.unwrap();
    node.end();
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(lines(&text)[2]["container"]["env"], json!([format!("TOKEN={SECRET}")]));
}

/// The engine does not notice; what is lost is counted, and told once; what is there is whole.
#[tokio::test]
async fn a_full_disk() {
    if !is_root() {
        return skipped("a full disk under a recording: root is needed to mount one");
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk(folder.path());
    disk.mount("size=64k");
    let file = folder.path().join("r");
    let node = Node::start(&file, &[], &json!({})).await;
    let mut large = secretive("c1");
    large.annotations = [("filler".to_owned(), "x".repeat(10_000))].into();
    for _ in 0..10 {
        node.client.create(&pod("p1"), &large).await.unwrap();
    }
    node.said("cannot be written: No space left on device").await;
    disk.mount("remount,size=1m");
    node.gateway.signal(Signal::HUP);
    node.said("requests are missing from it").await;
    let log = node.gateway.log();
    node.end();

    let about =
        |what: &str| log.lines().filter(|line| line.contains("the recording") && line.contains(what)).count();
    assert_eq!((about("make room on its file system"), about("goes on; ")), (1, 1), "{log}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.ends_with('\n'));
    let lost: usize =
        log.split_once("goes on; ").and_then(|(_, rest)| rest.split_once(' ')).unwrap().0.parse().unwrap();
    assert_eq!(lines(&text).len() + lost, 2 + 10, "{log}");
}

/// A file system of its own, taken away in the end.
struct Disk<'a>(&'a Path);

impl Disk<'_> {
    fn mount(&self, options: &str) {
        let mut command = Command::new("mount");
        let status = command.args(["-t", "tmpfs", "-o", options, "nri-record"]).arg(self.0).status();
        assert!(status.unwrap().success(), "mount -o {options}");
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0).status().ok();
    }
}

#[test]
fn what_cannot_be_a_recording_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let output = Command::new(nri_tests::ours::nri())
        .args(["gateway", "--record", "/dev/full"])
        .arg("--engine-socket")
        .arg(path("e"))
        .arg("--listen")
        .arg(path("s"))
        .arg("--state-dir")
        .arg(path("state"))
        .arg("--control")
        .arg(path("control"))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.starts_with("error: failed to record to /dev/full: it is no regular file"), "{stderr}");
    assert!(!path("s").exists());
}
