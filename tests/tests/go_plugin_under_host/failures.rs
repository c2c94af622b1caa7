//! Plugins that do not answer: late, gone, stopped in the middle of something.

use std::time::Duration;

use nri_runtime::host::{Cause, Config, FailureRule, Outcome, PluginSettings};
use rustix::process::Signal;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::kit::{Node, creation, hasty, outcomes, patient, pod, soon};

const TIMEOUT: Duration = Duration::from_secs(1);
/// More than a plugin in order takes on a busy machine, less than [`TIMEOUT`].
const PROMPT: Duration = Duration::from_millis(900);

/// A plugin that takes part in creations and in nothing else, so that its silence is no validator's.
fn script(answers: &Json) -> Json {
    json!({"events": ["CreateContainer"], "answers": {"CreateContainer": answers}})
}

/// EXT-014, as ours: a plugin that never answers costs one deadline, then none.
#[tokio::test]
async fn a_plugin_that_never_answers() {
    let Some(node) = Node::start(hasty(TIMEOUT)).await else { return };
    let _silent = node.plugin("10-silent", &script(&json!([{"never": true}]))).await;
    let adds = script(&json!([{"adjust": {"env": [{"key": "A", "value": "1"}]}}]));
    let _other = node.plugin("20-other", &adds).await;
    let late = [("10-silent", Outcome::Late), ("20-other", Outcome::Answer)];

    let created = node.created("first").await;
    assert_eq!(outcomes(&created), late);
    assert!(created.plugins[0].took >= TIMEOUT);
    assert_eq!(created.merged.adjust.env.len(), 1);

    let before = Instant::now();
    let created = node.created("second").await;
    assert_eq!(outcomes(&created), late);
    assert!(before.elapsed() < PROMPT, "{:?}", before.elapsed());
    assert_eq!(created.plugins[0].took, Duration::ZERO);

    let (status, _) = node.host.status().await;
    assert!(status[0].overdue && status[0].active);
}

/// Three late answers in a row, each empty and in the end there, and the connection is closed.
#[tokio::test]
async fn a_plugin_that_is_always_late() {
    let Some(node) = Node::start(hasty(TIMEOUT)).await else { return };
    let slow = TIMEOUT.as_millis() + 100;
    let mut plugin = node.plugin("10-slow", &script(&json!([{"sleep_ms": slow}]))).await;
    for name in ["first", "second", "third"] {
        node.caught_up().await;
        assert_eq!(node.host.active(), 1, "{name}");
        assert_eq!(outcomes(&node.created(name).await), [("10-slow", Outcome::Late)]);
    }
    plugin.rest().await;
    node.left(0).await;
}

/// A late answer that changes nothing brings the plugin back; one with changes, which were not made, ends its connection.
#[tokio::test]
async fn late_answers() {
    let Some(node) = Node::start(hasty(TIMEOUT)).await else { return };
    let slow = TIMEOUT.as_millis() + 200;
    let script = script(&json!([
        {"for": "a", "sleep_ms": slow},
        {"for": "b", "sleep_ms": slow, "adjust": {"args": ["x"]}},
    ]));
    let mut plugin = node.plugin("10-slow", &script).await;
    assert_eq!(outcomes(&node.created("a").await), [("10-slow", Outcome::Late)]);
    node.caught_up().await;
    assert_eq!(outcomes(&node.created("prompt").await), [("10-slow", Outcome::Answer)]);
    assert_eq!(outcomes(&node.created("b").await), [("10-slow", Outcome::Late)]);
    plugin.rest().await;
    node.left(0).await;
}

/// A plugin that is killed, exits or closes in the middle of a call is gone, and the creation goes on at once.
#[tokio::test]
async fn plugins_that_go_in_the_middle_of_a_call() {
    let Some(node) = Node::start(patient()).await else { return };
    let _other = node.plugin("90-other", &script(&json!([]))).await;
    for answer in [json!({"never": true}), json!({"exit": 3}), json!({"close": true})] {
        let script = script(&json!([answer]));
        let mut plugin = node.active("10-weak", &script, &["-style", "raw"]).await;
        let kill = async {
            plugin.until("CreateContainer").await;
            if answer == json!({"never": true}) {
                plugin.signal(Signal::KILL);
            }
        };
        let (created, ()) = tokio::join!(node.created("server"), kill);
        assert_eq!(
            outcomes(&created),
            [("10-weak", Outcome::Gone), ("90-other", Outcome::Answer)],
            "{answer}"
        );
        node.left(1).await;
    }
}

/// A plugin may say itself that nothing goes without it (`FailurePolicy`); the operator's word overrules it.
#[tokio::test]
async fn a_plugin_whose_failure_counts() {
    let lenient = PluginSettings { on_failure: Some(FailureRule::Continue), ..PluginSettings::default() };
    for settings in [None, Some(("needed".to_owned(), lenient))] {
        let overruled = settings.is_some();
        let config = Config { plugins: settings.into_iter().collect(), ..hasty(TIMEOUT) };
        let Some(node) = Node::start(config).await else { return };
        let script = script(&json!([{"for": "late", "never": true}, {"for": "gone", "exit": 3}]));
        for name in ["late", "gone"] {
            let plugin = node.active("10-needed", &script, &["-fail-request"]).await;
            match node.create(name).await.map_err(|failure| failure.cause) {
                Ok(_) => assert!(overruled, "{name}"),
                Err(Cause::Late(by)) if name == "late" && !overruled => assert_eq!(by.full(), "10-needed"),
                Err(Cause::Gone(by)) if name == "gone" && !overruled => assert_eq!(by.full(), "10-needed"),
                Err(cause) => panic!("{name}: {cause}"),
            }
            drop(plugin);
            node.left(0).await;
        }
    }
}

/// EXT-025: a plugin that is stopped while megabytes for it are under way costs one deadline, and comes back.
#[tokio::test]
async fn a_stopped_plugin_costs_one_deadline() {
    let Some(node) = Node::start(hasty(TIMEOUT)).await else { return };
    let stopped = node.plugin("10-stopped", &script(&json!([]))).await;
    let _other = node.plugin("20-other", &script(&json!([]))).await;
    stopped.signal(Signal::STOP);
    let late = [("10-stopped", Outcome::Late), ("20-other", Outcome::Answer)];

    let mut large = creation("large");
    large.container.as_mut().unwrap().annotations.insert("text".into(), "x".repeat(3 << 20));
    let before = Instant::now();
    let created = node.host.create_container(large, soon()).await.unwrap();
    assert_eq!(outcomes(&created), late);
    assert!(before.elapsed() < TIMEOUT * 3, "{:?}", before.elapsed());

    let before = Instant::now();
    assert_eq!(outcomes(&node.created("small").await), late);
    node.host.run_pod_sandbox(pod(), soon()).await.unwrap();
    assert!(before.elapsed() < PROMPT, "{:?}", before.elapsed());

    stopped.signal(Signal::CONT);
    node.caught_up().await;
    let created = node.created("again").await;
    assert_eq!(outcomes(&created), [("10-stopped", Outcome::Answer), ("20-other", Outcome::Answer)]);
}

/// EXT-017: a request that does not fit into a message fails before any plugin is asked, and none is to blame.
#[tokio::test]
async fn a_request_that_is_too_long() {
    let Some(node) = Node::start(patient()).await else { return };
    let _plugin = node.plugin("10-some", &json!({})).await;
    let mut large = creation("large");
    large.container.as_mut().unwrap().annotations.insert("text".into(), "x".repeat(5 << 20));
    let failure = node.host.create_container(large, soon()).await.unwrap_err();
    assert!(matches!(failure.cause, Cause::TooLong { .. }), "{failure}");
    assert_eq!(outcomes(&node.created("small").await), [("10-some", Outcome::Answer)]);
}

/// EXT-040: a validator that is late or gone has not agreed, and the creation fails.
#[tokio::test]
async fn validators_that_do_not_answer() {
    let Some(node) = Node::start(hasty(TIMEOUT)).await else { return };
    for (name, answer) in [("late", json!({"never": true})), ("gone", json!({"exit": 3}))] {
        let event = "ValidateContainerAdjustment";
        let script = json!({"events": [event], "answers": {event: [answer]}});
        let validator = node.plugin("10-validator", &script).await;
        let failure = node.create(name).await.unwrap_err();
        let Cause::Validator { plugin, .. } = &failure.cause else { panic!("{name}: {failure}") };
        assert_eq!(plugin.full(), "10-validator");
        drop(validator);
        node.left(0).await;
    }
}
