//! `nri gateway --policy`: what is refused and what is dropped, a policy that is replaced while it runs, and one that is bad.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the failure report")]

use std::fs;
use std::path::Path;

use nri_tests::fake_engine::{Client, FakeEngine, container, pod};
use nri_tests::gateway::{Gateway, Settings};
use nri_tests::ours::nri;
use nri_tests::plugin::{Maker, Plugin};
use nri_tests::wait::until_async as until;
use nri_wire::api::{CreateContainerResponse, LinuxResources};
use rustix::process::Signal;
use serde_json::{Value as Json, json};

/// Everything of plugins that prove nothing but `env` is as `rules` says.
fn policy(rules: &str) -> String {
    format!(
        "apiVersion: policy.nri-rs/v1alpha1\nkind: PluginPolicy\nmetadata: {{name: node}}\nspec:\n  \
         defaultLevel: untrusted\n  levels:\n    - name: untrusted\n      fields: {{{rules}}}\n      \
         updates: {{self: allow}}\n"
    )
}

/// A gateway under a policy between a fake engine and one plugin.
struct Node {
    gateway: Gateway,
    client: Client,
    _plugin: Plugin,
    _engine: FakeEngine,
    _folder: tempfile::TempDir,
}

impl Node {
    async fn start(policies: &Path, script: &Json) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let engine = FakeEngine::bind(&socket).unwrap();
        let mut settings = Settings { args: vec!["--policy".into(), policies.into()], ..Settings::default() };
        settings.args.push("-v".into());
        let gateway = Gateway::spawn(&socket, &settings);
        let client = engine.joined(vec![pod("p1")], vec![container("c0", "p1")]).await;
        let plugin = Plugin::connect(Maker::Ours, &gateway.socket(), "10-a", script, folder.path()).unwrap();
        until("the plugin is active", || plugin.lines().iter().any(|line| line["event"] == "Synchronize"))
            .await;
        Self { gateway, client, _plugin: plugin, _engine: engine, _folder: folder }
    }

    /// Creates a container; the names of the variables that it gets, or why it is refused.
    async fn create(&self, id: &str) -> Result<Vec<String>, String> {
        let created: CreateContainerResponse =
            self.client.create(&pod("p1"), &container(id, "p1")).await.map_err(|status| status.message)?;
        Ok(created.adjust.into_iter().flat_map(|adjust| adjust.env).map(|env| env.key).collect())
    }
}

#[tokio::test]
async fn a_policy_is_in_force_and_can_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.yaml");
    let script = json!({"answers": {
        "CreateContainer": [{"adjust": {"env": [{"key": "A", "value": "1"}, {"key": "B", "value": "2"}]}}],
        "UpdateContainer": [{"update": [
            {"containerId": "c1", "linux": {"resources": {"cpu": {"cpus": "1"}}}},
            {"containerId": "c0", "linux": {"resources": {"cpu": {"cpus": "1"}}}}]}],
    }});
    fs::write(&file, policy("env: {allow: [{name: A}], onViolation: drop-entry}, cpu.cpus: allow")).unwrap();
    let mut node = Node::start(folder.path(), &script).await;
    assert_eq!(node.create("c1").await, Ok(vec!["A".to_owned()]));
    // Updates of others are not granted: they are dropped, the request's own goes through.
    let updated =
        node.client.update(&pod("p1"), &container("c1", "p1"), LinuxResources::default()).await.unwrap();
    let ids: Vec<_> = updated.update.iter().map(|update| update.container_id.as_str()).collect();
    assert_eq!(ids, ["c1"]);

    fs::write(&file, policy("env: deny")).unwrap();
    until("the new policy is in force", || node.gateway.log().contains("is in force")).await;
    let refusal = node.create("c2").await.unwrap_err();
    assert!(refusal.contains("10-a") && refusal.contains("policy"), "{refusal}");

    // Whoever writes nonsense keeps what was.
    fs::write(
        &file,
        "apiVersion: policy.nri-rs/v1alpha1\nkind: PluginPolicy\nmetadata: {name: node}\nspec: {levls: []}\n",
    )
    .unwrap();
    until("the bad policy is named", || node.gateway.log().contains("stays in force")).await;
    assert!(node.gateway.log().contains("E021"), "{}", node.gateway.log());
    node.create("c3").await.unwrap_err();

    fs::write(&file, policy("env: allow")).unwrap();
    node.gateway.signal(Signal::HUP);
    until("the third policy is in force", || node.gateway.log().matches("is in force").count() == 2).await;
    assert_eq!(node.create("c4").await, Ok(vec!["A".to_owned(), "B".to_owned()]));
    assert_eq!(node.gateway.end(Signal::TERM).code(), Some(0));
}

/// A daemon declines to start under a policy that does not load, and says where it is wrong.
#[test]
fn a_bad_policy_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.yaml");
    let start = || {
        let output = std::process::Command::new(nri())
            .args(["gateway", "--engine-socket", "/nowhere", "--listen"])
            .arg(folder.path().join("s"))
            .arg("--policy")
            .arg(&file)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = start();
    assert_eq!(code, Some(2), "{said}");
    fs::write(&file, policy("evn: deny")).unwrap();
    let (code, said) = start();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("node.yaml:8:16: E021") && said.contains("nri policy check"), "{said}");
}
