//! `--audit FILE`: what is written about each decision, what is not, and what the engine's client is told.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is the failure report")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use nri_tests::fake_engine::{Client, FakeEngine, container, pod};
use nri_tests::gateway::{Gateway, Settings};
use nri_tests::ours;
use nri_tests::plugin::{Maker, Plugin};
use nri_tests::wait::until_async as until;
use rustix::process::Signal;
use serde_json::{Value as Json, json};

const SECRET: &str = "correct-horse-battery";

const POLICY: &str = r#"apiVersion: policy.nri-rs/v1alpha1
kind: PluginPolicy
metadata: {name: node}
spec:
  defaultLevel: untrusted
  levels:
    - name: untrusted
      fields:
        env: {allow: [{name: "OK_*"}], onViolation: drop-entry}
        mounts: deny
        annotations: {allow: [{key: "a/*"}]}
"#;

fn lines(file: &Path) -> Vec<Json> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn script() -> Json {
    let mount = json!([{"source": "/", "destination": "/host", "type": "bind", "options": ["rbind"]}]);
    json!({"answers": {"CreateContainer": [
        {"for": "container-bad", "adjust": {"mounts": mount}},
        {"adjust": {"env": [{"key": "OK_A", "value": SECRET}, {"key": "BAD", "value": SECRET}]}},
    ]}})
}

/// A gateway with this policy between a fake engine and one plugin.
async fn node(folder: &Path, args: &[&str]) -> (Gateway, Client, FakeEngine, Plugin) {
    let socket = folder.join("engine.sock");
    let policy = folder.join("node.yaml");
    fs::write(&policy, POLICY).unwrap();
    let engine = FakeEngine::bind(&socket).unwrap();
    let mut settings = Settings { args: vec!["--policy".into(), policy.into()], ..Settings::default() };
    settings.args.extend(args.iter().map(Into::into));
    let gateway = Gateway::spawn(&socket, &settings);
    let client = engine.joined(vec![pod("p1")], vec![]).await;
    let plugin = Plugin::connect(Maker::Ours, &gateway.socket(), "10-a", &script(), folder).unwrap();
    until("the plugin is active", || plugin.lines().iter().any(|line| line["event"] == "Synchronize")).await;
    (gateway, client, engine, plugin)
}

/// The id in `… [audit 01JDCM3T9W7Q]`.
fn audit_id(text: &str) -> &str {
    let (_, rest) = text.split_once("[audit ").unwrap_or_else(|| panic!("{text}"));
    rest.split_once(']').unwrap().0
}

#[tokio::test]
async fn a_gateway_writes_every_decision_down() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let (mut gateway, client, _engine, _plugin) =
        node(folder.path(), &["--audit", file.to_str().unwrap()]).await;
    let adjusted = client.create(&pod("p1"), &container("c1", "p1")).await.unwrap();
    let env = adjusted.adjust.unwrap().env;
    assert_eq!(env.iter().map(|variable| &*variable.key).collect::<Vec<_>>(), ["OK_A"]);
    let refused = format!("{:?}", client.create(&pod("p1"), &container("bad", "p1")).await.unwrap_err());
    assert!(refused.contains("mounts /host: "), "{refused}");
    fs::write(folder.path().join("node.yaml"), POLICY.replace("mounts: deny", "mount: deny")).unwrap();
    until("the policy is read again", || gateway.log().contains("stays in force")).await;
    assert_eq!(gateway.end(Signal::TERM).code(), Some(0), "{}", gateway.log());

    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!fs::read_to_string(&file).unwrap().contains(SECRET));
    let lines = lines(&file);
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["policy.load", "decision", "final", "decision", "final", "policy.reject"]);
    let ids: Vec<&str> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    for (number, line) in lines.iter().enumerate() {
        assert_eq!((&line["schema"], &line["seq"]), (&json!("nri.audit/v1"), &json!(number + 1)));
        assert_eq!(line["enforcement"]["point"], "gateway");
        assert_eq!(line["policy"]["generation"], 0);
    }

    let decision = &lines[1];
    assert_eq!((&decision["operation"], &decision["verdict"]), (&json!("create"), &json!("drop-entry")));
    assert_eq!((&decision["plugin"]["name"], &decision["plugin"]["index"]), (&json!("a"), &json!("10")));
    assert_eq!(decision["plugin"]["level"], "untrusted");
    assert!(decision["plugin"]["pid"].is_u64() && decision["latency_us"].is_u64());
    assert_eq!(decision["container"], json!({"name": "container-c1", "id": "c1"}));
    assert_eq!(decision["counts"], json!({"changes": 2, "violations": 1, "dropped": 1}));
    let (good, bad) = (&decision["changes"][0], &decision["changes"][1]);
    assert_eq!(
        (&good["key"], &good["verdict"], &good["before"]),
        (&json!("OK_A"), &json!("allow"), &Json::Null)
    );
    assert_eq!(good["after"]["len"], SECRET.len());
    assert_eq!((&bad["key"], &bad["verdict"]), (&json!("BAD"), &json!("drop-entry")));
    assert_eq!(good["after"]["hmac"], bad["after"]["hmac"]);
    assert_eq!(bad["rule"], "node/untrusted/env");
    assert!(bad["at"].as_str().unwrap().contains("node.yaml:9:"), "{bad}");

    let end = &lines[2];
    assert_eq!(end["verdict"], "allow");
    assert_eq!(end["counts"], json!({"changes": 1}));
    assert_eq!((&end["changes"][0]["plugin"], &end["changes"][0]["key"]), (&json!("10-a"), &json!("OK_A")));
    assert_eq!(end["owners"], json!([{"field": "env", "key": "OK_A", "plugins": ["10-a"], "how": "set"}]));

    let rejected = &lines[3];
    assert_eq!((rejected["id"].as_str(), &rejected["verdict"]), (Some(audit_id(&refused)), &json!("reject")));
    assert_eq!(rejected["changes"][0]["after"]["source"], "/");
    assert_eq!(lines[4]["error"], json!({"kind": "policy", "plugin": "10-a"}));
    assert!(lines[5]["reason"].as_str().unwrap().contains("E021"), "{}", lines[5]);
}

/// Without a file the log has a line for each refusal, by the id that the client is told.
#[tokio::test]
async fn a_gateway_without_a_file_logs_refusals() {
    let folder = tempfile::tempdir().unwrap();
    let (mut gateway, client, _engine, _plugin) = node(folder.path(), &[]).await;
    client.create(&pod("p1"), &container("c1", "p1")).await.unwrap();
    let refused = format!("{:?}", client.create(&pod("p1"), &container("bad", "p1")).await.unwrap_err());
    let id = audit_id(&refused);
    until("the refusal is logged", || gateway.log().contains(id)).await;
    gateway.end(Signal::TERM);
    let log = gateway.log();
    let said: Vec<&str> = log.lines().filter(|line| line.contains("violates the policy")).collect();
    assert_eq!(said.len(), 2, "{log}");
    assert!(said[0].contains("BAD") && said[0].contains("node/untrusted/env"), "{log}");
    assert!(said[1].contains("/host") && said[1].contains(id), "{log}");
    assert!(!log.contains(SECRET), "{log}");
}

/// The dry run writes the same lines; where there is no policy, preset/compat has everything recorded.
#[test]
fn a_dry_run_writes_lines() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("node.yaml"), POLICY).unwrap();
    fs::write(at("config.json"), r#"{"ociVersion":"1.0.2","process":{"args":["sh"],"cwd":"/"}}"#).unwrap();
    std::os::unix::fs::symlink(ours::example("hello"), at("10-hello")).unwrap();
    let adjust = |args: &[&str]| {
        let output = Command::new(ours::nri())
            .args(["adjust", "--spec", "config.json", "--plugin", "./10-hello", "-o", "json"])
            .args(["--audit", "audit.jsonl"])
            .args(args)
            .current_dir(folder.path())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    adjust(&[]);
    adjust(&["--policy", "node.yaml"]);
    let lines = lines(&at("audit.jsonl"));
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["policy.load", "decision", "final", "policy.load", "decision"]);
    assert_eq!((&lines[1]["verdict"], &lines[1]["mode"]), (&json!("allow"), &json!("audit")));
    assert_eq!(
        (&lines[1]["changes"][0]["key"], &lines[1]["changes"][0]["rule"]),
        (&json!("HELLO"), &json!("compat/unauthenticated/*"))
    );
    assert_eq!(lines[1]["plugin"]["proofs"], json!(["launched.path", "launched.sha256"]));
    assert_eq!((&lines[4]["verdict"], &lines[4]["mode"]), (&json!("drop-entry"), &json!("enforce")));
    assert_eq!(lines[4]["enforcement"], json!({"point": "adjust", "runtime": "none", "gap": []}));
}
