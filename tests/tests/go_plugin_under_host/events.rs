//! What reaches a plugin: events and their order, settings, state.

use nri_runtime::host::{Cause, Config};
use nri_tests::proto;
use nri_wire::api::{StopContainerRequest, UpdateContainerRequest, UpdatePodSandboxRequest};
use nri_wire::event::{EVENTS, Event};
use nri_wire::name::PluginName;
use serde_json::{Value as Json, json};
use std::time::Duration;

use super::kit::{GoPlugin, Node, container, creation, patient, pod, soon};

/// The life of a pod with one container, in the order of [`cycle`].
const CYCLE: [Event; 13] = [
    Event::RunPodSandbox,
    Event::UpdatePodSandbox,
    Event::PostUpdatePodSandbox,
    Event::CreateContainer,
    Event::PostCreateContainer,
    Event::StartContainer,
    Event::PostStartContainer,
    Event::UpdateContainer,
    Event::PostUpdateContainer,
    Event::StopContainer,
    Event::RemoveContainer,
    Event::StopPodSandbox,
    Event::RemovePodSandbox,
];

/// The events that carry changes and never had another form than their own call.
const NEVER_STATE_CHANGE: [Event; 4] =
    [Event::UpdatePodSandbox, Event::CreateContainer, Event::UpdateContainer, Event::StopContainer];

/// Takes a pod and a container through all of [`CYCLE`]; the plugins asked at each step.
async fn cycle(node: &Node) -> Vec<Vec<PluginName>> {
    let host = &node.host;
    let (ctr, at) = (|| container("server"), soon());
    let update_pod = UpdatePodSandboxRequest { pod: Some(pod()), ..Default::default() };
    let update = UpdateContainerRequest { pod: Some(pod()), container: Some(ctr()), ..Default::default() };
    let stop = StopContainerRequest { pod: Some(pod()), container: Some(ctr()) };
    [
        host.run_pod_sandbox(pod(), at).await.unwrap().plugins,
        host.update_pod_sandbox(update_pod, at).await.unwrap().plugins,
        host.post_update_pod_sandbox(pod(), at).await.unwrap().plugins,
        host.create_container(creation("server"), at).await.unwrap().plugins,
        host.post_create_container(pod(), ctr(), at).await.unwrap().plugins,
        host.start_container(pod(), ctr(), at).await.unwrap().plugins,
        host.post_start_container(pod(), ctr(), at).await.unwrap().plugins,
        host.update_container(update, at).await.unwrap().plugins,
        host.post_update_container(pod(), ctr(), at).await.unwrap().plugins,
        host.stop_container(stop, at).await.unwrap().plugins,
        host.remove_container(pod(), ctr(), at).await.unwrap().plugins,
        host.stop_pod_sandbox(pod(), at).await.unwrap().plugins,
        host.remove_pod_sandbox(pod(), at).await.unwrap().plugins,
    ]
    .map(|asked| asked.into_iter().map(|asked| asked.plugin).collect())
    .to_vec()
}

fn name(event: Event) -> &'static str {
    nri_wire::event::display_name(event)
}

/// The requests that reached a plugin, all of them: the host is shut down for that.
async fn received(plugin: &mut GoPlugin) -> Vec<Json> {
    let joining = ["Configure", "Synchronize", "started", "registered", "Shutdown"];
    let lines = plugin.rest().await;
    lines.into_iter().filter(|line| !joining.iter().any(|event| line["event"] == *event)).collect()
}

fn events(lines: &[Json]) -> Vec<&str> {
    lines.iter().map(|line| line["event"].as_str().unwrap()).collect()
}

/// CONF-118 to 134: seventeen plugins with a subscription each get what they subscribed to, in order, and nothing else.
#[tokio::test]
async fn every_event() {
    let containers: Vec<_> = CYCLE.into_iter().filter(|event| !name(*event).contains("Pod")).collect();
    let mut subscriptions: Vec<Vec<Event>> = CYCLE.map(|event| vec![event]).to_vec();
    subscriptions.extend([
        vec![Event::RunPodSandbox, Event::StopPodSandbox, Event::RemovePodSandbox],
        vec![Event::CreateContainer, Event::UpdateContainer, Event::StopContainer],
        containers,
        CYCLE.to_vec(),
    ]);
    let Some(node) = Node::start(patient()).await else { return };
    let mut plugins = Vec::new();
    for (n, subscription) in subscriptions.iter().enumerate() {
        let script = json!({"events": subscription.iter().copied().map(name).collect::<Vec<_>>()});
        plugins.push(node.spawn(&format!("{n:02}-some"), &script, &[]));
    }
    assert!(node.host.wait_active(plugins.len(), soon()).await);
    cycle(&node).await;
    node.host.shutdown().await;
    for (subscription, plugin) in subscriptions.iter().zip(&mut plugins) {
        let lines = received(plugin).await;
        assert_eq!(events(&lines), subscription.iter().copied().map(name).collect::<Vec<_>>());
        for line in &lines {
            let call = line["event"].as_str().unwrap();
            assert_eq!(line["method"], format!("/nri.pkg.api.v1alpha1.Plugin/{call}"));
            assert_eq!(line["pod"], proto::json(&pod()), "{call}");
            assert_eq!(line["container"].is_object(), !call.contains("Pod"), "{call}");
            assert!(line["timeout_ms"].is_number(), "{call}");
        }
    }
    assert_eq!(CYCLE.len() + 1, EVENTS.len(), "all but validation");
}

/// EXT-010, quirk C11: who asks for no event in particular gets all, validation with them.
#[tokio::test]
async fn no_event_means_all() {
    let Some(node) = Node::start(patient()).await else { return };
    let mut plugin = node.active("10-all", &json!({"mask": 0}), &["-style", "raw"]).await;
    cycle(&node).await;
    node.host.shutdown().await;
    let lines = received(&mut plugin).await;
    let mut expect: Vec<_> = CYCLE.map(name).to_vec();
    expect.insert(4, name(Event::ValidateContainerAdjustment));
    assert_eq!(events(&lines), expect);
}

/// EXT-012: a plugin from before NRI 0.12 is asked once by the event's own call, from then on by StateChange alone.
#[tokio::test]
async fn old_plugins_get_state_changes() {
    let Some(node) = Node::start(patient()).await else { return };
    let subscription: Vec<_> = CYCLE.map(name).to_vec();
    let mut plugin = node.active("10-old", &json!({"events": subscription}), &["-style", "old"]).await;
    for _ in 0..2 {
        cycle(&node).await;
    }
    node.host.shutdown().await;
    let lines = received(&mut plugin).await;
    let seen: Vec<_> = lines
        .iter()
        .map(|line| match line["event"].as_str().unwrap() {
            "StateChange" => line["request"]["event"].as_str().unwrap().replace('_', ""),
            own => own.to_uppercase(),
        })
        .collect();
    assert_eq!(seen, [CYCLE, CYCLE].concat().into_iter().map(|e| name(e).to_uppercase()).collect::<Vec<_>>());
    let own: Vec<_> = events(&lines).into_iter().filter(|event| *event != "StateChange").collect();
    assert_eq!(
        own,
        [NEVER_STATE_CHANGE, NEVER_STATE_CHANGE].concat().into_iter().map(name).collect::<Vec<_>>()
    );
    let start = lines.iter().find(|line| line["request"]["event"] == "START_CONTAINER").unwrap();
    assert_eq!(start["request"]["container"], proto::json(&container("server")));
}

/// EXT-013: what cannot be said by StateChange is refused when the plugin does not implement it; the plugin stays.
#[tokio::test]
async fn unimplemented_is_a_refusal() {
    let Some(node) = Node::start(patient()).await else { return };
    let answers = json!([{"code": 12, "error": "not here"}]);
    let script = json!({"answers": {"CreateContainer": answers, "UpdatePodSandbox": answers}});
    let _plugin = node.active("10-old", &script, &["-style", "old"]).await;
    let update = UpdatePodSandboxRequest { pod: Some(pod()), ..Default::default() };
    for failure in [
        node.create("server").await.unwrap_err(),
        node.host.update_pod_sandbox(update, soon()).await.unwrap_err(),
    ] {
        assert!(matches!(failure.cause, Cause::Veto { code: 12, .. }), "{failure}");
    }
    assert_eq!(node.host.active(), 1);
}

/// CONF-135 to 138: indices order the plugins, whoever came first, and each sees what those before it have changed.
#[tokio::test]
async fn indices_are_the_order() {
    let Some(node) = Node::start(patient()).await else { return };
    let mut plugins = Vec::new();
    for index in ["20", "99", "00"] {
        let answer = json!({"adjust": {"env": [{"key": format!("BY_{index}"), "value": "1"}]}});
        let script = json!({"answers": {"CreateContainer": [answer]}});
        plugins.push((index, node.plugin(&format!("{index}-some"), &script).await));
    }
    for asked in cycle(&node).await {
        let indices: Vec<_> = asked.iter().map(PluginName::index).collect();
        assert_eq!(indices, ["00", "20", "99"]);
    }
    for (index, plugin) in &mut plugins {
        let line = plugin.until("CreateContainer").await;
        let env = line["container"]["env"].as_array().map_or(0, Vec::len);
        assert_eq!(env, ["00", "20", "99"].iter().position(|i| i == index).unwrap(), "{line}");
    }
}

/// CONF-226 to 229: the runtime's name and version, the time-outs to the millisecond, the NRI version.
#[tokio::test]
async fn the_configuration_arrives() {
    let config = Config {
        runtime_name: "the-runtime".into(),
        runtime_version: "v7".into(),
        nri_version: "v9.8.7".into(),
        registration_timeout: Duration::from_millis(5005),
        request_timeout: Duration::from_millis(2007),
        ..Config::default()
    };
    let Some(node) = Node::start(config).await else { return };
    let mut plugin = node.plugin("10-some", &json!({})).await;
    let configure = plugin.until("Configure").await;
    assert_eq!((&configure["runtime"], &configure["version"]), (&json!("the-runtime"), &json!("v7")));
    let started = plugin.until("started").await;
    let expect = json!({"event": "started", "nri_version": "v9.8.7",
        "registration_timeout_ms": 5005, "request_timeout_ms": 2007});
    assert_eq!(started, expect);
}
