//! Required plugins on real engines: those of the gateway, and the gateway as one that the engine requires.

use std::fs;

use nri_tests::plugin::{Maker, sequence};
use nri_tests::skipped;
use rustix::process::Signal;
use serde_json::json;

use crate::kit::{Node, Place, Settings, until};

/// CONF-190, CONF-192, A10 behind the gateway: what the CRI client is told names the plugin, for pods and containers.
#[test]
fn a_required_plugin_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.toml");
    fs::write(&config, "[default-validator]\nrequired-plugins = [\"guard\"]\n").unwrap();
    let args = vec!["--config".to_owned(), config.display().to_string()];
    let mut node = match Node::start(Place::Behind, &Settings { args, ..Settings::default() }) {
        Ok(node) => node,
        Err(what) => return skipped(&what),
    };
    let refused = |result: Result<String, String>, why: &str| {
        let error = result.unwrap_err();
        assert!(error.contains(r#"required plugin "guard" not present"#) && error.contains(why), "{error}");
    };
    let other = node.connect(Maker::Go, "05-other", &json!({}));
    refused(node.cri.run_pod("early", &json!({})), "is not connected");

    let guard = node.connect(Maker::Ours, "10-guard", &json!({}));
    let pod = node.pod("shop");
    node.container(&pod, "first");

    guard.signal(Signal::STOP);
    refused(node.cri.run_pod("late", &json!({})), "did not answer in time");
    refused(node.cri.run_container(&pod, "second", &["sleep", "1000"]), "did not answer in time");
    refused(node.cri.run_pod("too-late", &json!({})), "did not answer in time");
    guard.signal(Signal::KILL);
    drop(guard);
    refused(node.cri.run_container(&pod, "third", &["sleep", "1000"]), "");

    let guard = node.connect(Maker::Ours, "10-guard", &json!({}));
    let known = &guard.until("Synchronize")["pods"];
    let names: Vec<_> = known.as_array().unwrap().iter().map(|pod| pod["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["shop"], "a pod that was refused is none: {}", node.report());
    node.container(&pod, "fourth");
    // The engine may still hold the name of a pod that was refused.
    let again = node.pod("again");
    node.container(&again, "fifth");

    // Nobody else is left with a pod that does not run.
    let pods = sequence(&other.lines()).into_iter().filter(|line| line.contains("PodSandbox "));
    assert_eq!(
        pods.collect::<Vec<_>>(),
        [
            "RunPodSandbox shop",
            "RunPodSandbox late",
            "StopPodSandbox late",
            "RemovePodSandbox late",
            "RunPodSandbox again"
        ]
    );
}

/// Where the engine requires the gateway, no container starts while it is gone, and none is missing from its list.
#[test]
fn an_engine_that_requires_the_gateway() {
    let nri = "[plugins.\"io.containerd.nri.v1.nri\".default_validator]\nenable = true\nrequired_plugins = [\"nri-gateway\"]\n";
    let settings = Settings { nri: nri.to_owned(), ..Settings::default() };
    let mut node = match Node::start(Place::Behind, &settings) {
        Ok(node) => node,
        Err(what) => return skipped(&what),
    };
    let pod = node.pod("shop");
    node.container(&pod, "first");
    for signal in [Signal::TERM, Signal::KILL] {
        let gateway = node.gateway.as_mut().unwrap();
        gateway.end(signal);
        // The first may fail for a validator that has just died; the others fail for the plugin that is required.
        for (name, text) in [("x", "nri-gateway"), ("y", r#"required plugin "nri-gateway" not present"#)] {
            let error = node.cri.run_container(&pod, name, &["sleep", "1000"]).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
        let gateway = node.gateway.as_mut().unwrap();
        gateway.start_again();
        gateway.wait_until_ready(if signal == Signal::TERM { 2 } else { 3 });
        node.container(&pod, &format!("after-{}", signal.as_raw()));
    }
    let log = node.gateway.as_ref().unwrap().log();
    assert!(!log.contains("did not go through this gateway"), "{log}");
}

/// Without that containers start unseen, and the gateway names them when it is back, and after each restart.
#[test]
fn containers_that_started_without_the_gateway() {
    let mut node = match Node::start(Place::Behind, &Settings::default()) {
        Ok(node) => node,
        Err(what) => return skipped(&what),
    };
    let pod = node.pod("shop");
    let seen = node.container(&pod, "seen");
    node.gateway.as_mut().unwrap().end(Signal::KILL);
    // The engine rejects one container for the validator that has died, and goes on without it.
    node.cri.run_container(&pod, "rejected", &["sleep", "1000"]).ok();
    let unseen = node.container(&pod, "unseen");
    for time in 1..3 {
        let gateway = node.gateway.as_mut().unwrap();
        gateway.start_again();
        let line = gateway.wait_for("did not go through this gateway", time);
        assert!(line.contains(&format!("default/shop/unseen ({unseen})")), "{line}");
        assert!(!line.contains(&seen), "{line}");
        gateway.wait_until_ready(time + 1);
        gateway.end(Signal::TERM);
    }
    node.gateway.as_mut().unwrap().start_again();
    node.gateway.as_ref().unwrap().wait_until_ready(4);
    node.cri.remove_pod(&pod).unwrap();
    let file = node.gateway.as_ref().unwrap().path("state").join("seen");
    until("the list has nothing that is gone", || fs::read_to_string(&file).unwrap().is_empty());
}
