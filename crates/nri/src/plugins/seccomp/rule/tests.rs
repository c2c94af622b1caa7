use nri_wire::api;
use serde_json::{Value, json};

use super::*;

fn config(text: &str) -> Config {
    super::super::super::config::parse(text).unwrap().unwrap()
}

fn pod(annotations: &[(&str, &str)]) -> PodSandbox {
    PodSandbox {
        name: "web".into(),
        namespace: "team-a".into(),
        uid: "u1".into(),
        labels: [("audit".to_owned(), "on".to_owned())].into(),
        annotations: annotations.iter().map(|&(key, value)| (key.into(), value.into())).collect(),
        ..Default::default()
    }
}

/// A container with this policy, if any.
fn container(policy: Option<&Value>) -> Container {
    let message = policy.map(|json| message::from_policy(&Policy::from_json(json).unwrap()));
    let linux = api::LinuxContainer { seccomp_policy: message, ..Default::default() };
    Container { name: "app".into(), linux: Some(linux), ..Default::default() }
}

fn allow_list() -> Value {
    json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["mkdir", "read"], "action": "SCMP_ACT_ALLOW"}]})
}

fn result(text: &str, pod: &PodSandbox, container: &Container) -> Result<Option<Value>, String> {
    let policy = config(text).policy_for(pod, container);
    policy.map(|policy| policy.map(|policy| policy.to_json())).map_err(|refusal| refusal.to_string())
}

#[test]
fn policies() {
    let own = container(Some(&allow_list()));
    for (text, expect) in [
        (
            "rules: [{edits: [{set: [{names: [mkdir], action: ERRNO}]}]}]",
            json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}),
        ),
        (
            "rules: [{edits: [{switch: {from: ALLOW, names: [mkdir], to: SCMP_ACT_LOG}}, {add: [{names: [bpf], action: TRAP}]}, {remove: [read]}, {default: {action: ERRNO, errnoRet: 38}}]}]",
            json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [
                {"names": ["mkdir"], "action": "SCMP_ACT_LOG"}, {"names": ["bpf"], "action": "SCMP_ACT_TRAP"}
            ]}),
        ),
        (
            "rules: [{policy: {inline: {defaultAction: SCMP_ACT_LOG, syscalls: [{names: [clone], action: SCMP_ACT_ALLOW, args: [{index: 0, value: 18446744073709551615, op: SCMP_CMP_EQ}]}]}}}]",
            json!({"defaultAction": "SCMP_ACT_LOG", "syscalls": [
                {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": u64::MAX, "op": "SCMP_CMP_EQ"}]}
            ]}),
        ),
        (
            "{listenerDirectories: [/nonexistent/l], rules: [{listener: {path: /nonexistent/l/s, metadata: m}}]}",
            allow_list(),
        ),
        (
            "{listenerDirectories: [/nonexistent/l], rules: [{edits: [{set: [{names: [mkdir], action: NOTIFY}]}], listener: {path: '/nonexistent/l/{namespace}/{name}/{uid}/{container}', metadata: '{name}/{container}'}}]}",
            json!({"defaultAction": "SCMP_ACT_ERRNO", "listenerPath": "/nonexistent/l/team-a/web/u1/app", "listenerMetadata": "web/app", "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_ALLOW"}, {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}
            ]}),
        ),
    ] {
        assert_eq!(result(text, &pod(&[]), &own), Ok(Some(expect)), "{text}");
    }
}

#[test]
fn matching() {
    let own = container(Some(&allow_list()));
    for (matches, expect) in [
        ("{}", true),
        ("{namespaces: [team-a]}", true),
        ("{namespaces: [other, team-*]}", true),
        ("{namespaces: [team]}", false),
        ("{containers: [app], namespaces: ['*']}", true),
        ("{containers: [ap]}", false),
        ("{labels: {audit: 'on'}}", true),
        ("{labels: {audit: 'off'}}", false),
        ("{annotations: {tier: web}}", true),
        ("{annotations: {tier: web}, labels: {x: y}}", false),
    ] {
        let text = format!("rules: [{{match: {matches}, edits: [{{remove: [read]}}]}}]");
        let found = result(&text, &pod(&[("tier", "web")]), &own).unwrap();
        assert_eq!(found.is_some(), expect, "{matches}");
    }
    // The first rule that matches counts; one that says nothing exempts.
    let text = "rules: [{match: {namespaces: [team-a]}}, {edits: [{remove: [read]}]}]";
    assert_eq!(result(text, &pod(&[]), &container(None)), Ok(None));
}

/// A container without a policy, and one whose policy the runtime does not tell.
#[test]
fn unconfined() {
    let rule = |unconfined: &str| {
        format!("rules: [{{{unconfined}edits: [{{set: [{{names: [mkdir], action: ERRNO}}]}}]}}]")
    };
    let none = container(None);
    let refusal = result(&rule(""), &pod(&[]), &none).unwrap_err();
    assert!(refusal.starts_with("seccomp rules[0]: the container has no policy"), "{refusal}");
    assert_eq!(result(&rule("unconfined: leave, "), &pod(&[]), &none), Ok(None));
    let allow = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]});
    assert_eq!(result(&rule("unconfined: allow, "), &pod(&[]), &none), Ok(Some(allow)));

    let mut untold = container(None);
    let profile =
        |kind: ProfileType| api::SecurityProfile { profile_type: kind.into(), ..Default::default() };
    untold.linux.get_or_insert_default().seccomp_profile = Some(profile(ProfileType::RuntimeDefault));
    let refusal = result(&rule("unconfined: allow, "), &pod(&[]), &untold).unwrap_err();
    assert!(refusal.contains("does not tell"), "{refusal}");
    untold.linux.get_or_insert_default().seccomp_profile = Some(profile(ProfileType::Unconfined));
    assert_eq!(result(&rule("unconfined: leave, "), &pod(&[]), &untold), Ok(None));
}

#[test]
fn annotations_of_pods_count_where_they_are_named() {
    let own = container(Some(&allow_list()));
    let text = |listener: &str| {
        format!(
            "{{listenerDirectories: [/nonexistent/l], rules: [{{edits: [{{set: [{{names: [mkdir], action: NOTIFY}}]}}], listener: {{path: '/nonexistent/l/{{name}}'{listener}}}}}]}}"
        )
    };
    let path = |listener: &str, annotations: &[(&str, &str)]| {
        let policy = result(&text(listener), &pod(annotations), &own)?;
        Ok(policy.unwrap()["listenerPath"].as_str().unwrap().to_owned())
    };
    let named = ", pathAnnotation: k";
    for (listener, annotations, expect) in [
        ("", &[("k", "/nonexistent/l/x")][..], Ok("/nonexistent/l/web")),
        (named, &[], Ok("/nonexistent/l/web")),
        (named, &[("k", "/nonexistent/l/x")], Ok("/nonexistent/l/x")),
        (named, &[("k", "/nonexistent/l/x"), ("k/pod", "/nonexistent/l/y")], Ok("/nonexistent/l/y")),
        (
            named,
            &[("k/pod", "/nonexistent/l/y"), ("k/container.app", "/nonexistent/l/z")],
            Ok("/nonexistent/l/z"),
        ),
        (named, &[("k/container.other", "/nonexistent/l/z")], Ok("/nonexistent/l/web")),
        (named, &[("k", "/etc/passwd")], Err("in none of the listenerDirectories")),
        (named, &[("k", "/nonexistent/l/../x")], Err("no absolute path")),
        (named, &[("k", "")], Err("no absolute path")),
    ] {
        match (path(listener, annotations), expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{annotations:?}"),
            (Err::<_, String>(found), Err(expect)) => {
                assert!(found.contains(expect), "{annotations:?}: {found}");
            }
            (found, _) => panic!("{annotations:?}: {found:?}"),
        }
    }
}

#[test]
fn refusals() {
    let own = container(Some(&allow_list()));
    for (text, expect) in [
        (
            "rules: [{edits: [{remove: [bpf]}, {add: [{names: [mkdir], action: LOG}]}]}]",
            "seccomp rules[0]: edits[1]: the rule for mkdir has no effect because syscalls[0]",
        ),
        (
            "rules: [{match: {namespaces: [x]}}, {edits: [{set: [{names: [mkdir], action: NOTIFY}]}]}]",
            "seccomp rules[1]: the edited policy is invalid: syscalls[1].action: SCMP_ACT_NOTIFY needs listenerPath",
        ),
        (
            "rules: [{listener: {path: '/nonexistent/{name}'}}]",
            "seccomp rules[0]: listener refused: \"/nonexistent/web\" is in none",
        ),
    ] {
        let refusal = result(text, &pod(&[]), &own).unwrap_err();
        assert!(refusal.starts_with(expect), "{text}: {refusal}");
    }
    let mut strange = container(None);
    strange.linux.get_or_insert_default().seccomp_policy = Some(api::LinuxSeccomp::default());
    let refusal = result("rules: [{edits: [{remove: [bpf]}]}]", &pod(&[]), &strange).unwrap_err();
    assert!(refusal.contains("own policy is invalid: defaultAction"), "{refusal}");
}

/// What is wrong with a configuration is said with its position.
#[test]
fn configurations_that_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let docker = folder.path().join("docker.json");
    std::fs::write(&docker, r#"{"defaultAction": "SCMP_ACT_ERRNO", "archMap": [], "syscalls": []}"#).unwrap();
    let broken = folder.path().join("broken.json");
    std::fs::write(&broken, "{\n  \"defaultAction\": }").unwrap();
    let profile = |path: &std::path::Path| format!("rules:\n- policy: {{profile: {}}}", path.display());
    for (text, what, line) in [
        ("rule: []".to_owned(), "rule", "line 1"),
        ("rules:\n- matches: {}".to_owned(), "matches", "line 2"),
        ("rules:\n- edits:\n  - set: [{names: [mkdri], action: LOG}]".to_owned(), "mkdri", "line 3"),
        (
            "rules:\n- edits:\n  - set: [{names: [mkdir], action: DENY}]".to_owned(),
            "unknown action \"DENY\"",
            "line 3",
        ),
        ("rules:\n- edits:\n  - set: [{names: [write], action: NOTIFY}]".to_owned(), "on write", "line 3"),
        ("rules:\n- edits:\n  - default: {action: NOTIFY}".to_owned(), "default action", "line 3"),
        ("rules:\n- edits:\n  - drop: [x]".to_owned(), "drop", "line 3"),
        ("rules:\n- listener: {path: '/l/{pod}'}".to_owned(), "{pod}", "line 2"),
        ("listenerDirectories: [l]\nrules: []".to_owned(), "\"l\" is no directory", "line 1"),
        (
            "rules:\n- policy: {inline: {defaultAction: ALLOW}}".to_owned(),
            "inline: defaultAction: unknown action",
            "line 2",
        ),
        ("rules:\n- unconfined: maybe".to_owned(), "maybe", "line 2"),
        (profile("/nonexistent.json".as_ref()), "/nonexistent.json", "line 2"),
        (profile("web.json".as_ref()), "no absolute path", "line 2"),
        (profile(&docker), "archMap cannot be handed", "line 2"),
        (profile(&broken), "broken.json: expected value at line 2", "line 2"),
    ] {
        let error = super::super::super::config::parse::<Config>(&text).err().unwrap();
        assert!(error.contains(what) && error.contains(line), "{text}: {error}");
    }
}
