//! The gateway's required plugins and its list of containers seen, before an engine that does what the test says.

#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is the report of the failure")]

use std::fs;
use std::path::PathBuf;

use nri_tests::fake_engine::{Client, FakeEngine, container, pod};
use nri_tests::gateway::{Gateway, Settings};
use nri_tests::plugin::{Maker, Plugin};
use nri_tests::wait::until_some;
use nri_wire::api::{Container, PodSandbox};
use nri_wire::event::Event;
use rustix::process::Signal;
use serde_json::{Value as Json, json};

/// A fake engine and a gateway at it, in a folder of their own.
struct Node {
    engine: FakeEngine,
    gateway: Gateway,
    folder: tempfile::TempDir,
}

impl Node {
    fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = FakeEngine::bind(&folder.path().join("engine.sock")).unwrap();
        let config_file = folder.path().join("gateway.toml");
        fs::write(&config_file, config).unwrap();
        let settings = Settings { args: vec!["--config".into(), config_file.into()], ..Settings::default() };
        let gateway = Gateway::spawn(&folder.path().join("engine.sock"), &settings);
        Self { engine, gateway, folder }
    }

    async fn synchronize(&self, pods: &[&str], containers: &[&str]) -> Client {
        let containers = containers.iter().map(|id| container(id, "p")).collect();
        self.engine.joined(pods.iter().map(|id| pod(id)).collect(), containers).await
    }

    fn plugin(&self, name: &str, script: &Json) -> Plugin {
        let folder = self.folder.path();
        let plugin = Plugin::connect(Maker::Ours, &self.gateway.socket(), name, script, folder).unwrap();
        plugin.until("Synchronize");
        plugin
    }

    fn seen(&self) -> PathBuf {
        self.gateway.path("state").join("seen")
    }

    /// The file follows a moment later.
    fn until_seen(&self, expect: &str) {
        let seen = || fs::read_to_string(self.seen()).unwrap_or_default();
        until_some(|| (seen() == expect).then_some(()), || format!("{:?}, not {expect:?}", seen()));
    }
}

/// What the engine is told of a pod and of a container, as one text: empty if both may be.
async fn both(client: &Client, pod: &PodSandbox, container: &Container) -> String {
    let said = [
        client.notice(Event::RunPodSandbox, pod, None).await.err(),
        client.create(pod, container).await.err(),
    ];
    said.into_iter().flatten().map(|status| status.message + "\n").collect()
}

fn refused(names: &str, why: &str) -> String {
    let plural = if names.contains(',') { "s" } else { "" };
    ["RunPodSandbox", "CreateContainer"]
        .map(|event| {
            format!("{event}: validation error: required plugin{plural} {names:?} not present: {why}\n")
        })
        .concat()
}

/// A10 through the gateway: not connected, late, lost, back; annotations; settings that are read again.
#[tokio::test]
async fn required_plugins_of_the_gateway() {
    let node = Node::start("[default_validator]\nenable = true\nrequired_plugins = [\"guard\"]\n");
    let client = node.synchronize(&[], &[]).await;
    let (p, c) = (pod("p"), container("c", "p"));
    let absent = refused("guard", r#""guard" is not connected"#);
    assert_eq!(both(&client, &p, &c).await, absent);

    let guard = node.plugin("10-guard", &json!({}));
    assert_eq!(both(&client, &p, &c).await, "");
    let annotated = PodSandbox {
        annotations: [("required-plugins.noderesource.dev/pod".to_owned(), "[10-guard, more]".to_owned())]
            .into(),
        ..pod("q")
    };
    assert_eq!(both(&client, &annotated, &c).await, refused("more", r#""more" is not connected"#));

    guard.signal(Signal::STOP);
    assert_eq!(both(&client, &p, &c).await, refused("guard", r#""guard" did not answer in time"#));
    drop(guard);
    while both(&client, &p, &c).await != absent {}

    let _partial = node.plugin("10-guard", &json!({"events": ["RemoveContainer"]}));
    let said = both(&client, &p, &c).await;
    let why = r#""guard" is connected and does not take this event"#;
    assert_eq!(
        said,
        format!("CreateContainer: validation error: required plugin \"guard\" not present: {why}\n"),
        "a pod has nothing to ask of it"
    );

    fs::write(node.folder.path().join("gateway.toml"), "[default-validator]\nrequired-plugin = []\n")
        .unwrap();
    node.gateway.signal(Signal::HUP);
    node.gateway.wait_for("the settings stay as they are", 1);
    assert_eq!(both(&client, &p, &c).await, said);
    fs::write(node.folder.path().join("gateway.toml"), "").unwrap();
    node.gateway.signal(Signal::HUP);
    while !both(&client, &p, &c).await.is_empty() {}
    // Annotations hold without any table.
    assert!(both(&client, &annotated, &c).await.starts_with(
        r#"RunPodSandbox: validation error: required plugin "more" not present: "more" is not connected"#
    ));
}

/// What ran while the gateway was not there is named, once by each gateway, for as long as it runs.
#[tokio::test]
async fn containers_that_ran_without_the_gateway_are_named() {
    let mut node = Node::start("");
    let client = node.synchronize(&["p"], &["old"]).await;
    let line = node.gateway.wait_for("did not go through this gateway", 1);
    assert!(line.contains("1 container runs") && line.contains("team-a/pod-p/container-old (old)"), "{line}");
    let p = pod("p");
    for id in ["a", "b"] {
        client.create(&p, &container(id, "p")).await.unwrap();
        client.notice(Event::PostCreateContainer, &p, Some(&container(id, "p"))).await.unwrap();
    }
    node.until_seen("a\nb\n");
    client.notice(Event::RemoveContainer, &p, Some(&container("b", "p"))).await.unwrap();
    node.until_seen("a\n");

    // The engine comes back; what was named is not named again.
    client.close();
    let client = node.synchronize(&["p"], &["old", "a", "while-away"]).await;
    let line = node.gateway.wait_for("did not go through this gateway", 2);
    assert!(line.contains("1 container runs") && line.contains("(while-away)"), "{line}");

    node.gateway.end(Signal::KILL);
    client.closed().await;
    node.gateway.start_again();
    let client = node.synchronize(&["p"], &["old", "a", "while-away"]).await;
    let line = node.gateway.wait_for("did not go through this gateway", 3);
    assert!(line.contains("2 containers run") && line.contains("(old)"), "{line}");
    assert!(!line.contains("(a)"), "{line}");

    // Without anything that runs unseen nothing is said, and what is gone is forgotten.
    client.close();
    let _client = node.synchronize(&["p"], &[]).await;
    node.until_seen("");
    assert_eq!(node.gateway.log().matches("did not go through this gateway").count(), 3);
}

/// A second gateway goes on without the first one's directory, and says so.
#[tokio::test]
async fn a_second_gateway_leaves_the_directory_alone() {
    let first = Node::start("");
    let client = first.synchronize(&[], &[]).await;
    client.create(&pod("p"), &container("a", "p")).await.unwrap();
    client.notice(Event::StartContainer, &pod("p"), Some(&container("a", "p"))).await.unwrap();
    first.until_seen("a\n");

    let path = |name: &str| first.folder.path().join(name);
    let engine = FakeEngine::bind(&path("second-engine.sock")).unwrap();
    let args = vec!["--state-dir".into(), first.gateway.path("state").into()];
    let mut second = Gateway::spawn(&path("second-engine.sock"), &Settings { args, ..Settings::default() });
    let client = engine.joined(vec![], vec![]).await;
    assert!(client.create(&pod("p"), &container("b", "p")).await.is_ok());
    client.notice(Event::StartContainer, &pod("p"), Some(&container("b", "p"))).await.unwrap();
    second.end(Signal::KILL);
    assert!(second.log().contains("another gateway that runs holds it"), "{}", second.log());
    assert_eq!(fs::read_to_string(first.seen()).unwrap(), "a\n");
}
