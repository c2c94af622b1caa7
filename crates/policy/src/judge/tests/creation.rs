//! Answers to CreateContainer.

use nri_wire::api::{Container, ContainerAdjustment, KeyValue, Mount};

use super::kit::{Case, fields, judge, left, lines};

fn env(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    pairs.iter().map(|(key, value)| KeyValue { key: (*key).into(), value: (*value).into() }).collect()
}

fn mount(destination: &str, source: &str) -> Mount {
    Mount {
        destination: destination.into(),
        source: source.into(),
        r#type: "bind".into(),
        ..Default::default()
    }
}

/// What is dropped goes alone, a mark together with its value; the rest stays as it was.
#[test]
fn single_entries_are_dropped() {
    let judge = fields("env: {deny: [{name: \"LD_*\"}], onViolation: drop-entry}, mounts: allow");
    let client = Container { env: vec!["LD_A=1".into(), "B=1".into()], ..Default::default() };
    let adjust = ContainerAdjustment {
        env: env(&[("-LD_A", ""), ("LD_A", "2"), ("C", "3"), ("B", "1"), ("-NOBODY", "")]),
        mounts: vec![mount("/d", "/s")],
        hooks: Some(nri_wire::api::Hooks::default()),
        ..Default::default()
    };
    let verdict = Case::new(client).adjust(&judge, adjust);
    assert_eq!(lines(&verdict), ["env LD_A replace p0/l/env drop-entry"]);
    let expect = ContainerAdjustment {
        env: env(&[("C", "3")]),
        mounts: vec![mount("/d", "/s")],
        ..Default::default()
    };
    assert_eq!(left(&verdict), Some(expect));
    let changes = verdict.permitted.as_ref().unwrap().changes();
    assert_eq!(changes.iter().map(|change| &*change.key).collect::<Vec<_>>(), ["/d", "C"]);
}

/// The strictest action is what happens; all violations are listed (`policy.md` 6).
#[test]
fn the_strictest_action_counts() {
    let adjust = || ContainerAdjustment {
        env: env(&[("A", "1")]),
        mounts: vec![mount("/d", "/s")],
        ..Default::default()
    };
    for (rules, expect, is_left) in [
        ("mounts: deny, env: allow", &["mounts /d add p0/l/mounts reject"][..], None),
        (
            "mounts: {allow: [], onViolation: drop-plugin}, env: {allow: [], onViolation: drop-entry, id: x}",
            &["mounts /d add p0/l/mounts drop-plugin", "env A add p0/x drop-entry"],
            Some(ContainerAdjustment::default()),
        ),
        ("env: allow", &["mounts /d add p0/l reject"], None),
        (
            "\"*\": {ops: [], mode: warn}",
            &["mounts /d add p0/l/* warn", "env A add p0/l/* warn"],
            Some(adjust()),
        ),
        ("\"*\": {ops: [], mode: audit}, env: allow", &["mounts /d add p0/l/* audit"], Some(adjust())),
    ] {
        let verdict = Case::new(Container::default()).adjust(&fields(rules), adjust());
        assert_eq!(lines(&verdict), expect, "{rules}");
        assert_eq!(left(&verdict), is_left, "{rules}");
    }
}

/// Policies are intersected over those that speak for the plugin (`policy.md` 9).
#[test]
fn several_policies() {
    let adjust = || ContainerAdjustment { env: env(&[("A", "1"), ("B", "1")]), ..Default::default() };
    let silent = "{levels: [{name: l, fields: {}}]}";
    let a = "{defaultLevel: l, levels: [{name: l, fields: {env: {allow: [{name: A}], onViolation: drop-entry}}}]}";
    let warns = "{mode: warn, defaultLevel: l, levels: [{name: l, fields: {env: deny}}]}";
    let elsewhere = "{scope: {namespaces: {include: [x]}}, defaultLevel: l, levels: [{name: l, fields: {}}]}";
    for (specs, expect) in [
        (&[silent][..], &["env A add p0/defaultLevel reject", "env B add p0/defaultLevel reject"][..]),
        (&[silent, a], &["env B add p1/l/env drop-entry"]),
        (
            &[a, warns],
            &["env A add p1/l/env warn", "env B add p0/l/env drop-entry", "env B add p1/l/env warn"],
        ),
        (&[elsewhere], &[]),
        (&[elsewhere, a], &["env B add p1/l/env drop-entry"]),
    ] {
        let verdict = Case::new(Container::default()).adjust(&judge(specs), adjust());
        assert_eq!(lines(&verdict), expect, "{specs:?}");
    }
}
