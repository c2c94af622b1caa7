use nri_policy::judge::Judge;
use serde_json::{Value, json};

use super::*;

fn decided(number: usize, line: &[u8]) -> work::Decided {
    work::Decided::new(&request::decide(number, line, &Judge::allow_all()), None)
}

fn decide(line: &Value) -> Value {
    serde_json::to_value(request::decide(7, line.to_string().as_bytes(), &Judge::allow_all())).unwrap()
}

fn create(answers: &Value) -> Value {
    json!({"version": 1, "id": "c1", "event": "CreateContainer", "pod": {}, "container": {"id": "c"},
        "spec": {"process": {"env": []}, "linux": {}}, "answers": answers})
}

fn env(plugin: &str, key: &str, value: &str) -> Value {
    json!({"plugin": plugin, "adjust": {"env": [{"key": key, "value": value}]}})
}

#[test]
fn outcomes() {
    let check = |line: Value, outcome: &str, kind: Value| {
        let decision = decide(&line);
        assert_eq!(
            (&decision["outcome"], &decision["error"]["kind"]),
            (&outcome.into(), &kind),
            "{line}\n{decision}"
        );
        assert_eq!(decision.get("spec").is_some(), decision.get("error").is_none(), "{line}");
    };
    check(create(&json!([])), "unchanged", Value::Null);
    check(create(&json!([{"plugin": "10-a"}])), "unchanged", Value::Null);
    check(
        create(&json!([{"plugin": "10-a", "gone": true}, {"plugin": "20-b", "late": true}])),
        "unchanged",
        Value::Null,
    );
    check(create(&json!([env("10-a", "A", "1")])), "adjusted", Value::Null);
    check(create(&json!([env("10-a", "A", "1"), env("20-b", "A", "2")])), "rejected", "conflict".into());
    check(create(&json!([{"plugin": "10-a", "error": "no"}])), "rejected", "veto".into());
    check(create(&json!([{"plugin": "10-a", "invalid": "cut"}])), "failed", "invalid".into());
    check(
        create(
            &json!([{"plugin": "10-a", "adjust": {"linux": {"resources": {"rdtClass": {"value": "gold"}}}}}]),
        ),
        "failed",
        "apply".into(),
    );
    for (validators, kind) in [
        (json!([{"plugin": "90-v", "reject": false}]), Value::Null),
        (json!([{"plugin": "90-v", "reject": true, "reason": "no"}]), "validator".into()),
        (json!([{"plugin": "90-v", "late": true}]), "validator".into()),
    ] {
        let mut line = create(&json!([]));
        line["validators"] = validators;
        check(line, if kind.is_null() { "unchanged" } else { "rejected" }, kind);
    }
}

#[test]
fn the_plugins_and_the_spec() {
    let decision = decide(&create(&json!([env("10-a", "A", "1"), {"plugin": "20-b", "late": true}])));
    assert_eq!(decision["spec"]["process"]["env"], json!(["A=1"]));
    assert_eq!(
        decision["plugins"],
        json!([{"name": "a", "index": "10", "outcome": "answer", "micros": 0}, {"name": "b", "index": "20", "outcome": "late", "micros": 0}])
    );
}

#[test]
fn updates() {
    let limit = |id: &str, limit: &str| json!({"containerId": id, "linux": {"resources": {"memory": {"limit": {"value": limit}}}}});
    let about = json!({"version": 1, "id": "u1", "pod": {}, "container": {"id": "c"}, "resources": {},
        "answers": [{"plugin": "10-a", "update": [limit("c", "7"), limit("d", "8")], "evict": [{"containerId": "e", "reason": "r"}]}]});
    for (event, ids, evictions) in [
        ("UpdateContainer", json!(["d", "c"]), 1),
        ("StopContainer", json!(["c", "d"]), 0),
        ("Synchronize", json!(["c", "d"]), 0),
        ("UpdateContainers", json!(["c", "d"]), 1),
    ] {
        let mut line = about.clone();
        line["event"] = event.into();
        let decision = decide(&line);
        let updated: Value = decision["updates"]
            .as_array()
            .unwrap()
            .iter()
            .map(|update| update["containerId"].clone())
            .collect();
        assert_eq!((&decision["outcome"], updated), (&"adjusted".into(), ids), "{event} {decision}");
        assert_eq!(decision["evictions"].as_array().unwrap().len(), evictions, "{event}");
        assert_eq!(decision["changes"].as_array().unwrap().len(), 2, "{event}");
    }
}

#[test]
fn bad_lines_name_the_place() {
    for (line, id, expect) in [
        (
            "{".to_owned(),
            "",
            "line 7, column 1: not JSON: EOF while parsing an object; a recorded request is expected",
        ),
        ("[]".to_owned(), "", "line 7: a recorded request must be a JSON object"),
        (json!({"id": "x"}).to_string(), "x", "line 7: event: missing, "),
        (json!({"version": 2}).to_string(), "", "line 7: version: 2 is not a version"),
        (json!({"event": "StartContainer"}).to_string(), "", "line 7: event: \"StartContainer\" is none"),
        (
            json!({"event": "CreateContainer", "pod": {}}).to_string(),
            "",
            "line 7: container: missing, expected a Container",
        ),
        (create(&json!({})).to_string(), "c1", "line 7: answers: expected a list"),
        (create(&json!([{"plugin": "a"}])).to_string(), "c1", "line 7: answers[0].plugin: "),
        (
            create(&json!([{"plugin": "10-a", "late": 1}])).to_string(),
            "c1",
            "line 7: answers[0].late: expected true or false",
        ),
        (
            create(&json!([{"plugin": "10-a", "adjust": {"env": 1}}])).to_string(),
            "c1",
            "line 7: answers[0].adjust.env: expected a list",
        ),
    ] {
        let decision =
            serde_json::to_value(request::decide(7, line.as_bytes(), &Judge::allow_all())).unwrap();
        let said = decision["error"]["message"].as_str().unwrap();
        assert!(said.starts_with(expect), "{line}: {said}");
        assert_eq!(
            (&decision["outcome"], &decision["error"]["kind"], &decision["id"]),
            (&"failed".into(), &"input".into(), &id.into())
        );
    }
}

/// What a recording hides stays hidden, and equal where it was equal.
#[test]
fn hidden_values_stay_hidden() {
    let hidden = json!({"hmac": "h1:5d0f", "len": 6});
    let mut line = create(&json!([{"plugin": "10-a", "adjust": {"env": [{"key": "A", "value": hidden}]}}]));
    line["container"]["env"] = json!([{"key": "B", "hmac": "h1:aa", "len": 2}]);
    let mut output = Vec::new();
    let input = BufReader::new(Box::new(io::Cursor::new(line.to_string())) as Box<dyn Read>);
    work::lines(input, &mut output, 1, decided).unwrap();
    let decision: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(decision["changes"][0]["after"], hidden);
    assert_eq!(decision["spec"]["process"]["env"], json!([{"key": "A", "hmac": "h1:5d0f", "len": 6}]));
}

/// Decisions come in the order of the lines, however many are worked on at once.
#[test]
fn order_is_kept() {
    let text: String = (0..5000)
        .map(|n| if n % 7 == 0 { "\n".to_owned() } else { format!("{{\"id\":\"{n}\"}}\n") })
        .collect();
    let mut output = Vec::new();
    let input = BufReader::with_capacity(4096, io::Cursor::new(text));
    let done = work::lines(input, &mut output, 3, decided);
    let ids: Vec<Value> = String::from_utf8(output)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
        .collect();
    let expect: Vec<Value> = (0..5000).filter(|n| n % 7 != 0).map(|n| n.to_string().into()).collect();
    assert_eq!(ids, expect);
    assert_eq!(done.unwrap(), work::Done { lines: expect.len(), negative: expect.len() });
}

/// A rule that would have to see a hidden value cannot tell; its length is there.
#[test]
fn rules_about_hidden_values() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.yaml");
    let check = |rule: &str, refusal: Option<&str>| {
        let policy = format!(
            "{{apiVersion: policy.nri-rs/v1alpha1, kind: PluginPolicy, metadata: {{name: p}}, spec: {{defaultLevel: l, \
             levels: [{{name: l, fields: {{env: {{allow: [{rule}]}}}}}}]}}}}"
        );
        std::fs::write(&file, policy).unwrap();
        let policies = InForce::named(std::slice::from_ref(&file), None, false).unwrap();
        let hidden = json!({"hmac": "h1:5d0f", "len": 6});
        let line = create(&json!([{"plugin": "10-a", "adjust": {"env": [{"key": "A", "value": hidden}]}}]));
        let decision = request::decide(1, line.to_string().as_bytes(), policies.judge());
        let refused = serde_json::to_value(decision).unwrap()["refused"].clone();
        let reason = refused[0]["reason"].as_str();
        match refusal {
            None => assert_eq!(refused, json!([]), "{rule}"),
            Some(expect) => assert!(reason.unwrap().contains(expect), "{rule}: {refused}"),
        }
    };
    check("{name: A}", None);
    check("{name: A, maxBytes: 6}", None);
    check("{name: A, maxBytes: 5}", Some("maxBytes"));
    check("{name: A, value: \"*\"}", Some("the recording hides"));
    check("{name: B, value: \"*\"}", Some("B"));
}
