//! What comes of a plugin's answers: fields, conflicts, updates, refusals, validation, updates on its own account.

use std::sync::{Arc, Mutex};

use nri_runtime::host::{Asking, Callback, Cause, Embedder, Failure, Outcome};
use nri_runtime::merge::{Conflict, MergeError};
use nri_tests::proto;
use nri_wire::api::{ContainerAdjustment, ContainerUpdate, StopContainerRequest, UpdateContainerRequest};
use nri_wire::field::{self, FIELDS, Field, Kind};
use serde_json::{Value as Json, json};

use super::kit::{Node, container, outcomes, patient, pod, soon};
use super::sample;

fn fields() -> impl Iterator<Item = Field> {
    FIELDS.iter().map(|info| info.field)
}

/// CONF-139 to 161: every field that a Go plugin sets comes out of the merge as it was meant, as that plugin's change.
#[tokio::test]
async fn every_field() {
    let Some(node) = Node::start(patient()).await else { return };
    let _plugin = node.plugin("10-all", &sample::script(fields())).await;
    for info in FIELDS {
        let sent: ContainerAdjustment = proto::message(&sample::adjustment(info.field));
        let sent = field::adjustment(&sent);
        assert!(sent.iter().all(|entry| entry.field == info.field) && !sent.is_empty(), "{}", info.name);
        let merged = node.created(info.name).await.merged;
        assert_eq!(field::adjustment(&merged.adjust), sent, "{}", info.name);
        let by: Vec<_> = merged.changes.iter().map(|change| change.plugin.full()).collect();
        assert!(!by.is_empty() && by.iter().all(|plugin| *plugin == "10-all"), "{}: {by:?}", info.name);
    }
}

/// All fields at once and every member of them, at every depth: the fullest adjustment of the golden messages.
#[tokio::test]
async fn everything_at_once() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/messages.jsonl");
    let golden = std::fs::read_to_string(golden).unwrap();
    let mut cases = golden.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    let full = cases.find(|case| case["message"] == "ContainerAdjustment" && case["case"] == "full");
    let mut adjust = full.unwrap()["json"].take();
    // What is removed and set at once comes out as set; the removal has its turn among the fields.
    adjust["linux"]["rdt"].as_object_mut().unwrap().remove("remove");
    let sent: ContainerAdjustment = proto::message(&adjust);
    let sent = field::adjustment(&sent);
    let absent: Vec<_> = fields().filter(|field| sent.iter().all(|entry| entry.field != *field)).collect();
    assert_eq!(absent, [Field::RdtRemove]);

    let Some(node) = Node::start(patient()).await else { return };
    let script = json!({"events": ["CreateContainer"], "answers": {"CreateContainer": [{"adjust": adjust}]}});
    let _plugin = node.plugin("10-all", &script).await;
    let merged = node.created("server").await.merged;
    assert_eq!(field::adjustment(&merged.adjust), sent);
}

/// CONF-162 to 178: two Go plugins that set the same conflict, both named, unless the field adds up.
#[tokio::test]
async fn two_of_every_field() {
    let Some(node) = Node::start(patient()).await else { return };
    let _first = node.plugin("10-first", &sample::script(fields())).await;
    let _second = node.plugin("20-second", &sample::script(fields())).await;
    for info in FIELDS {
        let outcome = node.create(info.name).await;
        if matches!(info.kind, Kind::Accumulating | Kind::Unowned) {
            let created = outcome.unwrap_or_else(|failure| panic!("{}: {failure}", info.name));
            assert_eq!(created.merged.changes.len(), 2, "{}", info.name);
            continue;
        }
        let failure = outcome.map(|_| ()).expect_err(info.name);
        let sent: ContainerAdjustment = proto::message(&sample::adjustment(info.field));
        let key = field::adjustment(&sent)[0].key;
        let what = format!("{} {key}", info.protocol_name);
        let text = format!(r#"plugins "20-second" and "10-first" both tried to set {}"#, what.trim_end());
        assert!(failure.to_string().ends_with(&text), "{failure}");
        let Conflict { plugin, other, field, .. } = conflict(failure);
        assert_eq!((plugin.full(), other.full(), field), ("20-second", "10-first", info.field));
    }
    assert_eq!(node.host.active(), 2);
}

fn conflict(failure: Failure) -> Conflict {
    match failure.cause {
        Cause::Merge(error) => match *error {
            MergeError::Conflict(conflict) => conflict,
            other => panic!("no conflict: {other}"),
        },
        other => panic!("no conflict: {other}"),
    }
}

fn shares(id: &str, shares: &str) -> Json {
    json!({"containerId": id, "linux": {"resources": {"cpu": {"shares": {"value": shares}}}}})
}

fn shares_of(updates: &[ContainerUpdate]) -> Vec<(String, Json)> {
    let pick = |update: &ContainerUpdate| {
        let json = proto::json(update);
        (update.container_id.clone(), json["linux"]["resources"]["cpu"]["shares"]["value"].clone())
    };
    updates.iter().map(pick).collect()
}

/// Updates in the answers to a creation, an update and a stop: of the container itself where that may be, and of others.
#[tokio::test]
async fn updates() {
    let Some(node) = Node::start(patient()).await else { return };
    let script = json!({"answers": {
        "CreateContainer": [{"update": [shares("other", "2")]}],
        "UpdateContainer": [{"update": [shares("id-server", "3"), shares("other", "4")]}],
        "StopContainer": [{"update": [shares("other", "5")]}],
    }});
    let mut plugin = node.plugin("10-some", &script).await;
    let (pod, server) = (Some(pod()), Some(container("server")));
    let other = |n: &str| vec![("other".to_owned(), json!(n))];

    let created = node.created("server").await;
    assert_eq!(shares_of(&created.merged.updates), other("2"));

    let resources = json!({"memory": {"limit": {"value": "4096"}}, "cpu": {"shares": {"value": "1"}}});
    let request = UpdateContainerRequest {
        pod: pod.clone(),
        container: server.clone(),
        linux_resources: Some(proto::message(&resources)),
    };
    let merged = node.host.update_container(request, soon()).await.unwrap().merged;
    assert_eq!(shares_of(&merged.updates), other("4"));
    let own = proto::json(&merged.own.unwrap());
    let expect = json!({"memory": {"limit": {"value": "4096"}}, "cpu": {"shares": {"value": "3"}}});
    assert_eq!(own["linux"]["resources"], expect);
    assert_eq!(plugin.until("UpdateContainer").await["resources"], resources);

    let request = StopContainerRequest { pod, container: server };
    let merged = node.host.stop_container(request, soon()).await.unwrap().merged;
    assert_eq!(shares_of(&merged.updates), other("5"));
}

/// EXT-015: an error of a plugin fails the request in the plugin's words; no later plugin is asked to adjust, and it stays.
#[tokio::test]
async fn errors_are_refusals() {
    let Some(node) = Node::start(patient()).await else { return };
    let answers =
        json!([{"for": "bad", "error": "not on my node"}, {"for": "full", "code": 8, "error": "no room"}]);
    let script = json!({"answers": {"CreateContainer": answers.clone(), "StartContainer": answers}});
    let _plugin = node.plugin("10-strict", &script).await;
    let _later = node.plugin("20-later", &json!({})).await;
    for (name, expect) in [("bad", (2, "not on my node")), ("full", (8, "no room"))] {
        let creation = node.create(name).await.unwrap_err();
        assert_eq!(creation.plugins.len(), 1, "{creation}");
        let start = node.host.start_container(pod(), container(name), soon()).await.unwrap_err();
        for failure in [creation, start] {
            let Cause::Veto { plugin, reason, code } = &failure.cause else { panic!("{failure}") };
            assert_eq!((plugin.full(), *code, reason.as_str()), ("10-strict", expect.0, expect.1));
            let strict = failure.plugins.iter().find(|asked| asked.plugin.full() == "10-strict");
            assert_eq!(strict.unwrap().outcome, Outcome::Veto(expect.1.to_owned()));
        }
    }
    let created = node.created("good").await;
    assert_eq!(outcomes(&created), [("10-strict", Outcome::Answer), ("20-later", Outcome::Answer)]);
}

/// CONF-180, 181: a validator sees the merged result with its owners, and its word is the last.
#[tokio::test]
async fn validators() {
    let Some(node) = Node::start(patient()).await else { return };
    let script = json!({"events": ["CreateContainer"], "answers": {"CreateContainer": [
        {"adjust": {"annotations": {"protected": "1"}}}
    ]}});
    let _plugin = node.plugin("10-some", &script).await;
    let script = json!({"events": ["ValidateContainerAdjustment"], "answers": {"ValidateContainerAdjustment": [
        {"for": "bad", "reject": "protected has an owner"}
    ]}});
    let mut validator = node.plugin("90-validator", &script).await;

    let created = node.created("good").await;
    assert_eq!(created.merged.adjust.annotations["protected"], "1");
    assert_eq!((created.plugins.len(), created.validators.len()), (1, 1));
    let request = validator.until("ValidateContainerAdjustment").await["request"].clone();
    assert_eq!(request["adjust"]["annotations"], json!({"protected": "1"}));
    assert_eq!((&request["container"]["id"], &request["pod"]["id"]), (&json!("id-good"), &json!("pod0")));
    let owners = &request["owners"]["owners"]["id-good"]["compound"]["1"]["owners"];
    assert_eq!(owners, &json!({"protected": "10-some"}));
    let asked: Vec<_> = request["plugins"].as_array().unwrap().iter().map(|plugin| &plugin["name"]).collect();
    assert!(asked.contains(&&json!("some")), "{request}");

    let failure = node.create("bad").await.unwrap_err();
    let Cause::Validator { plugin, reason } = &failure.cause else { panic!("{failure}") };
    assert_eq!((plugin.full(), reason.as_str()), ("90-validator", "protected has an owner"));
    assert_eq!(node.host.active(), 2);
}

/// What an embedding runtime was asked for; it applies all but updates of the container `gone`.
#[derive(Clone, Default)]
struct Runtime(Arc<Mutex<Vec<String>>>);

impl Embedder for Runtime {
    fn update<'a>(
        &'a self,
        asking: Asking<'a>,
        updates: Vec<ContainerUpdate>,
    ) -> Callback<'a, Vec<ContainerUpdate>> {
        let asked = updates.iter().map(|update| format!("{} {}", asking.plugin, update.container_id));
        self.0.lock().unwrap().extend(asked);
        Box::pin(std::future::ready(updates.into_iter().filter(|u| u.container_id == "gone").collect()))
    }
}

/// CONF-225: updates on a plugin's own account, and those of its answer to Synchronize, reach the embedding runtime.
#[tokio::test]
async fn updates_on_its_own_account() {
    let runtime = Runtime::default();
    let Some(node) = Node::embedded(patient(), runtime.clone()).await else { return };
    let script = json!({"answers": {"Synchronize": [{"update": [shares("early", "1")]}]}});
    let mut plugin = node.plugin("10-some", &script).await;
    plugin.until("started").await;
    plugin.tell(&json!({"do": "update", "update": [shares("a", "2"), shares("gone", "3")]}));
    let line = plugin.until("updated").await;
    assert_eq!(line["failed"], json!([shares("gone", "3")]));
    plugin.tell(&json!({"do": "update", "update": [shares("b", "4")]}));
    assert_eq!(plugin.until("updated").await["failed"], json!([]));
    assert_eq!(*runtime.0.lock().unwrap(), ["10-some early", "10-some a", "10-some gone", "10-some b"]);
}
