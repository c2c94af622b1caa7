//! What must hold of the end result, and the case that began it all (`policy.md` 5 and 7), as recorded requests.

use serde_json::{Value as Json, json};

use super::kit::{allows, creation, notifies, replay, said, sets};

/// Everything may be changed, but for what the invariants say.
const INVARIANTS: &str = "{clientOverride: ignore, defaultLevel: l, levels: [{name: l, fields: {'*': {ops: [add, replace, remove]}}}], invariants: [no-seccomp-loosening, no-host-namespace-join, no-runtime-socket-mount]}";

#[test]
fn invariants() {
    let client = json!({"id": "c", "annotations": {"run.oci.handler": "a", "own": "a"},
        "mounts": [{"destination": "/client", "source": "/run", "type": "bind", "options": ["rbind"]}],
        "linux": {"namespaces": [{"type": "ipc"}, {"type": "network", "path": "/proc/1/ns/net"}],
            "seccompProfile": {"profileType": "LOCALHOST"}, "seccompPolicy": allows(&["read", "write"])}});
    let a = |adjust: Json| json!({"plugin": "10-a", "adjust": adjust});
    let mount = |to: &str, from: &str| json!({"mounts": [{"destination": to, "source": from, "type": "bind", "options": ["rbind"]}]});
    let namespace = |kind: &str, path: &str| json!({"linux": {"namespaces": [{"type": kind, "path": path}]}});
    let seccomp = |calls: &[&str]| json!({"linux": {"seccompPolicy": allows(calls)}});
    for (answers, expect) in [
        (json!([]), ""),
        (json!([a(seccomp(&["read"]))]), ""),
        (json!([a(seccomp(&["read", "write", "bpf"]))]), "10-a seccomp node/invariants/no-seccomp-loosening"),
        (json!([a(json!({"annotations": {"own": "b"}}))]), ""),
        (json!([a(json!({"annotations": {"run.oci.handler": "a"}}))]), ""),
        (
            json!([a(json!({"annotations": {"run.oci.handler": "b"}}))]),
            "10-a annotations run.oci.handler node/invariants/no-seccomp-loosening",
        ),
        (
            json!([a(json!({"annotations": {"-run.oci.handler": ""}}))]),
            "10-a annotations run.oci.handler node/invariants/no-seccomp-loosening",
        ),
        (
            json!([{"plugin": "05-z"}, a(json!({"annotations": {"bundle": "b"}})), {"plugin": "20-b"}]),
            "10-a annotations bundle node/invariants/no-seccomp-loosening",
        ),
        // What a later plugin takes back has not happened.
        (
            json!([a(json!({"annotations": {"bundle": "b"}})), {"plugin": "20-b", "adjust": {"annotations": {"-bundle": ""}}}]),
            "",
        ),
        (json!([a(namespace("uts", ""))]), ""),
        (json!([a(namespace("uts", "/run/netns/none"))]), ""),
        (json!([a(namespace("-ipc", ""))]), "10-a namespaces ipc node/invariants/no-host-namespace-join"),
        (
            json!([a(namespace("ipc", "/proc/1/ns/ipc"))]),
            "10-a namespaces ipc node/invariants/no-host-namespace-join",
        ),
        (
            json!([a(namespace("uts", "/proc//1/ns/uts/"))]),
            "10-a namespaces uts node/invariants/no-host-namespace-join",
        ),
        (json!([a(mount("/d", "/usr/lib"))]), ""),
        (json!([a(mount("/client", "/run"))]), ""),
        (
            json!([a(mount("/d", "/var/run/containerd"))]),
            "10-a mounts /d node/invariants/no-runtime-socket-mount",
        ),
        (
            json!([a(mount("/client", "/run/crio"))]),
            "10-a mounts /client node/invariants/no-runtime-socket-mount",
        ),
        // The owner is who has it in the end.
        (
            json!([a(mount("/d", "/")), {"plugin": "20-b", "adjust": {"mounts": [
                {"destination": "-/d"}, {"destination": "/d", "source": "/run", "type": "bind", "options": ["bind"]}]}}]),
            "20-b mounts /d node/invariants/no-runtime-socket-mount",
        ),
    ] {
        let decision = &replay(INVARIANTS, &[creation("c", &client, &answers)])[0];
        let (outcome, refused) = said(decision);
        if expect.is_empty() {
            assert!(refused.is_empty() && outcome != "rejected", "{answers}: {decision}");
            continue;
        }
        assert_eq!((outcome.as_str(), refused), ("rejected", vec![format!("{expect} reject")]), "{answers}");
        let owner = expect.split(' ').next();
        assert_eq!(
            (&decision["error"]["kind"], decision["error"]["plugin"].as_str()),
            (&json!("policy"), owner)
        );
        assert!(decision["refused"][0]["at"].as_str().unwrap().contains("node.yaml:4:"), "{decision}");
    }
}

/// A Localhost profile whose agent's socket depends on the pod: a plugin may change the path of the listener within those
/// that are permitted, and nothing else.
#[test]
fn the_listener_of_a_local_profile() {
    let spec = "{defaultLevel: l, levels: [{name: l, fields: {seccomp: {localhost: listener, listener: {paths: ['/run/agent/*.sock']}}}}], invariants: [no-seccomp-loosening]}";
    let calls = &["read", "write"][..];
    let client = |profile: &str, policy: Json| json!({"id": "c", "linux": {"seccompProfile": {"profileType": profile}, "seccompPolicy": policy}});
    let local = || client("LOCALHOST", notifies("/run/agent/default.sock", calls));
    let with = |member: &str, value: Json| {
        let mut policy = notifies("/run/agent/p1.sock", calls);
        policy[member] = value;
        policy
    };
    let cases = [
        (local(), notifies("/run/agent/p1.sock", calls), true),
        (local(), with("listenerMetadata", json!("pod p1")), true),
        (local(), notifies("/run/elsewhere.sock", calls), false),
        (local(), notifies("/run/agent/../p1.sock", calls), false),
        (local(), notifies("/run/agent/x/p1.sock", calls), false),
        (local(), notifies("/run/agent/p1.sock", &["read", "write", "bpf"]), false),
        (local(), notifies("/run/agent/p1.sock", &["read"]), false),
        (local(), with("defaultAction", json!("SCMP_ACT_ALLOW")), false),
        (local(), with("flags", json!(["SECCOMP_FILTER_FLAG_SPEC_ALLOW"])), false),
        (local(), allows(calls), false),
        (
            client("RUNTIME_DEFAULT", notifies("/run/agent/default.sock", calls)),
            notifies("/run/agent/p1.sock", calls),
            false,
        ),
        (
            json!({"id": "c", "linux": {"seccompProfile": {"profileType": "UNCONFINED"}}}),
            notifies("/run/agent/p1.sock", calls),
            false,
        ),
    ];
    let lines: Vec<_> = cases.iter().map(|(client, new, _)| creation("c", client, &sets(new))).collect();
    for (decision, (client, new, allowed)) in replay(spec, &lines).iter().zip(&cases) {
        let expect = if *allowed {
            ("adjusted".to_owned(), vec![])
        } else {
            ("rejected".to_owned(), vec!["10-a seccomp node/l/seccomp reject".to_owned()])
        };
        assert_eq!(said(decision), expect, "{client} {new}");
        if *allowed {
            assert_eq!(decision["adjust"]["linux"]["seccompPolicy"]["listenerPath"], "/run/agent/p1.sock");
        }
    }
}

/// Required plugins: no refusal, but a rejection of a kind of its own, that says who asks for whom and what to do.
#[test]
fn required_plugins() {
    let client = json!({"id": "c", "name": "main"});
    let spec = |mode: &str| {
        format!(
            "{{mode: {mode}, defaultLevel: l, levels: [{{name: l, fields: {{env: {{allow: [{{name: A}}], onViolation: drop-entry}}}}}}], \
             identities: [{{name: real, level: l, match: {{launched: {{path: /opt/real}}}}}}], \
             require: [{{plugin: real}}, {{plugin: b, meaning: owns, fields: [env], tolerate: {{annotation: t, namespaces: [infra]}}}}]}}"
        )
    };
    let real = json!({"plugin": "10-x", "facts": {"launched": true, "exe": "/opt/real"}});
    let impostor = json!({"plugin": "10-real"});
    let b = |names: &[&str]| {
        let env: Vec<_> = names.iter().map(|name| json!({"key": name, "value": "1"})).collect();
        json!({"plugin": "20-b", "adjust": {"env": env}})
    };
    let tolerant = json!({"namespace": "infra", "annotations": {"t/container.main": "true"}});
    let in_vain = json!({"namespace": "default", "annotations": {"t/container.main": "true"}});
    let more = json!({"namespace": "infra", "annotations": {"t": "true", "required-plugins.noderesource.dev/pod": "[c]"}});
    let default = json!({"namespace": "default"});
    for (pod, answers, expect) in [
        (&default, json!([real, b(&["A"])]), ""),
        (&default, json!([b(&["A"])]), "policy \"node\""),
        (&default, json!([impostor, b(&["A"])]), "10-real"),
        (&default, json!([real, {"plugin": "20-b"}]), "env"),
        (&default, json!([real, b(&["A", "B"])]), "env"),
        (&default, json!([real, {"plugin": "20-b", "late": true}]), "in time"),
        (&default, json!([real]), "not connected"),
        (&tolerant, json!([real]), ""),
        (&in_vain, json!([real]), "not connected"),
        (&more, json!([real]), "\"c\""),
        (&more, json!([real, {"plugin": "30-c"}]), ""),
    ] {
        let mut line = creation("c", &client, &answers);
        line["pod"] = pod.clone();
        let decision = &replay(&spec("enforce"), &[line.clone()])[0];
        let (outcome, refused) = said(decision);
        assert!(refused.iter().all(|refused| refused.ends_with("drop-entry")), "{decision}");
        let message = decision["error"]["message"].as_str().unwrap_or_default();
        assert!(
            message.contains(expect) && message.is_empty() == expect.is_empty(),
            "{pod} {answers}: {decision}"
        );
        if !expect.is_empty() {
            assert_eq!((outcome.as_str(), &decision["error"]["kind"]), ("rejected", &json!("required")));
        }
        let only_recorded = &replay(&spec("warn"), &[line])[0];
        assert_eq!(only_recorded["error"], Json::Null, "{only_recorded}");
    }
}
