//! The rules that hold for single fields: removals, neutral values, what counts as not set, updates.

use super::*;

fn marked() -> ContainerAdjustment {
    ContainerAdjustment {
        annotations: map(&[("-a", "")]),
        mounts: vec![Mount { destination: "-/m".into(), ..Default::default() }],
        env: vec![KeyValue { key: "-E".into(), value: String::new() }],
        linux: Some(LinuxContainerAdjustment {
            devices: vec![LinuxDevice { path: "-/dev/d".into(), ..Default::default() }],
            namespaces: vec![LinuxNamespace { r#type: "-network".into(), path: String::new() }],
            sysctl: map(&[("-kernel.x", "")]),
            net_devices: [("-eth1".to_owned(), LinuxNetDevice::default())].into(),
            rdt: Some(LinuxRdt { remove: true, ..Default::default() }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

const MARKED: [&str; 8] =
    ["annotations", "mounts", "env", "devices", "namespaces", "sysctl", "netDevices", "rdt.remove"];

/// Marks: alone, for a key of the client's, of an earlier plugin's, of nobody's.
#[test]
fn removals() {
    let (empty, full) = (Container::default(), full());
    let names = |changes: Vec<Recorded>| -> Vec<_> {
        changes.iter().map(|c| (c.subject.name(), c.op, c.before.is_null())).collect()
    };
    let removed = MARKED.map(|field| (field, Op::Remove, field == "rdt.remove"));
    assert_eq!(names(changes(&full, &full, &marked())), removed, "the client's");
    assert_eq!(names(changes(&empty, &full, &marked())), removed, "an earlier plugin's");
    assert_eq!(names(changes(&full, &empty, &marked())), removed, "the client's, removed before");
    let always = [("namespaces", Op::Remove, true), ("rdt.remove", Op::Remove, true)];
    assert_eq!(names(changes(&empty, &empty, &marked())), always, "nobody's");
}

/// A removal shows the value that goes away, which is the running one.
#[test]
fn the_value_that_goes_away() {
    let with = |value: &str| Container { env: vec![format!("E={value}")], ..Default::default() };
    let adjust = ContainerAdjustment {
        env: vec![KeyValue { key: "-E".into(), value: String::new() }],
        ..Default::default()
    };
    let expect = [("env", "E", Op::Remove, json!("plugin"), Json::Null)];
    assert_eq!(rows(&changes(&with("client"), &with("plugin"), &adjust)), expect);
}

/// A mark together with a value is one change, whatever the order.
#[test]
fn marks_with_values() {
    for (first, second) in [("-E", "E"), ("E", "-E")] {
        let value = |key: &str| if key == "E" { "new" } else { "" };
        let adjust = ContainerAdjustment {
            env: [first, second].map(|k| KeyValue { key: k.into(), value: value(k).into() }).into(),
            ..Default::default()
        };
        check(&Container::default(), &adjust, &[("env", "E", Op::Add, Json::Null, json!("new"))]);
        check(&full(), &adjust, &[("env", "E", Op::Replace, json!("v"), json!("new"))]);
    }
}

/// A key given twice is two changes.
#[test]
fn twice() {
    let adjust = ContainerAdjustment {
        env: ["1", "2"].map(|v| KeyValue { key: "A".into(), value: v.into() }).into(),
        ..Default::default()
    };
    let expect =
        [("env", "A", Op::Add, Json::Null, json!("1")), ("env", "A", Op::Add, Json::Null, json!("2"))];
    check(&Container::default(), &adjust, &expect);
}

/// Paths are compared cleaned and shown as written.
#[test]
fn paths() {
    let container = Container { mounts: vec![mount("/run/x", "/s")], ..Default::default() };
    let adjust = ContainerAdjustment { mounts: vec![mount("/var/run/x/", "/t")], ..Default::default() };
    let shape = |d: &str, s: &str| json!({"destination": d, "type": "bind", "source": s, "options": ["ro"]});
    let expect = ("mounts", "/var/run/x/", Op::Replace, shape("/run/x", "/s"), shape("/var/run/x/", "/t"));
    check(&container, &adjust, &[expect]);
}

/// Neutral values remove what the client had and are nothing otherwise.
#[test]
fn neutral_values() {
    let neutral = linux(LinuxContainerAdjustment {
        resources: Some(LinuxResources {
            blockio_class: Some(String::new().into()),
            rdt_class: Some(String::new().into()),
            ..Default::default()
        }),
        io_priority: Some(LinuxIoPriority { class: 0, priority: 3 }),
        scheduler: Some(LinuxScheduler { policy: 0, nice: 1, ..Default::default() }),
        ..Default::default()
    });
    check(&Container::default(), &neutral, &[]);
    let names: Vec<_> = changes(&full(), &full(), &neutral)
        .iter()
        .map(|c| (c.subject.name(), c.op, c.before.is_null(), c.after.is_null()))
        .collect();
    let expect = ["blockio.class", "rdt.class", "ioPriority", "scheduler"]
        .map(|field| (field, Op::Remove, false, true));
    assert_eq!(names, expect);
}

/// Where the client says 0 or nothing, it has set nothing; a plugin's 0 is a value.
#[test]
fn not_set() {
    let limits = |n: i64| LinuxResources {
        memory: Some(LinuxMemory { limit: Some(n.into()), ..Default::default() }),
        pids: Some(LinuxPids { limit: n }),
        ..Default::default()
    };
    let client = |resources| Container {
        linux: Some(LinuxContainer {
            resources: Some(resources),
            oom_score_adj: Some(0.into()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let expect = [
        ("memory.limit", "", Op::Add, Json::Null, json!(5)),
        ("pids.limit", "", Op::Add, Json::Null, json!(5)),
    ];
    check(&client(limits(0)), &resources(limits(5)), &expect);
    check(&client(limits(0)), &resources(limits(0)), &[]);
    let expect = [
        ("memory.limit", "", Op::Replace, json!(5), json!(0)),
        ("pids.limit", "", Op::Replace, json!(5), json!(0)),
    ];
    check(&client(limits(5)), &resources(limits(0)), &expect);
    let oom = linux(LinuxContainerAdjustment { oom_score_adj: Some(1.into()), ..Default::default() });
    check(&client(limits(0)), &oom, &[("oomScoreAdj", "", Op::Replace, json!(0), json!(1))]);
}

/// Messages that are there and say nothing (F9).
#[test]
fn empty_parts() {
    let adjust = ContainerAdjustment {
        hooks: Some(Hooks::default()),
        linux: Some(LinuxContainerAdjustment {
            resources: Some(LinuxResources {
                memory: Some(LinuxMemory::default()),
                cpu: Some(LinuxCpu::default()),
                ..Default::default()
            }),
            rdt: Some(LinuxRdt::default()),
            io_priority: Some(LinuxIoPriority::default()),
            scheduler: Some(LinuxScheduler::default()),
            ..Default::default()
        }),
        ..Default::default()
    };
    check(
        &full(),
        &adjust,
        &[
            ("ioPriority", "", Op::Remove, json!({"class": "IOPRIO_CLASS_BE", "priority": 4}), Json::Null),
            (
                "scheduler",
                "",
                Op::Remove,
                json!({"policy": "SCHED_RR", "nice": 0, "priority": 7, "flags": ["SCHED_FLAG_RESET_ON_FORK"], "runtime": 1, "deadline": 0, "period": 0}),
                Json::Null,
            ),
        ],
    );
    check(&Container::default(), &adjust, &[]);
}

/// Command lines: the leading empty element is no word; an empty line takes away at most an earlier plugin's.
#[test]
fn args() {
    let line = |words: &[&str]| -> Vec<String> { words.iter().map(|&w| w.to_owned()).collect() };
    let container = |words: &[&str]| Container { args: line(words), ..Default::default() };
    let adjust = |words: &[&str]| ContainerAdjustment { args: line(words), ..Default::default() };
    let client = container(&["a"]);
    check(&client, &adjust(&["", "a"]), &[]);
    check(&client, &adjust(&["", "b"]), &[("args", "", Op::Replace, json!(["a"]), json!(["b"]))]);
    check(&client, &adjust(&[""]), &[]);
    assert_eq!(
        rows(&changes(&client, &container(&["p"]), &adjust(&[""]))),
        [("args", "", Op::Remove, json!(["p"]), Json::Null)]
    );
}

/// Each line of schemata is a change; no lines remove the client's.
#[test]
fn schemata() {
    let adjust = |lines: &[&str]| {
        let value = lines.iter().map(|&l| l.to_owned()).collect();
        let rdt = LinuxRdt { schemata: Some(OptionalRepeatedString { value }), ..Default::default() };
        linux(LinuxContainerAdjustment { rdt: Some(rdt), ..Default::default() })
    };
    let before = json!(["L3:0=f", "MB:0=50"]);
    check(&full(), &adjust(&[]), &[("rdt.schemata", "", Op::Remove, before.clone(), Json::Null)]);
    check(&Container::default(), &adjust(&[]), &[]);
    check(&full(), &adjust(&["L3:0=f", "MB:0=50"]), &[]);
    check(&full(), &adjust(&["X"]), &[("rdt.schemata", "X", Op::Replace, before, json!("X"))]);
}

/// Of doubled variables the last counts; one without `=` has the empty value.
#[test]
fn variables_of_the_client() {
    let container = Container { env: vec!["A=1".into(), "A=2".into(), "B".into()], ..Default::default() };
    let adjust = |k: &str, v: &str| ContainerAdjustment {
        env: vec![KeyValue { key: k.into(), value: v.into() }],
        ..Default::default()
    };
    check(&container, &adjust("A", "2"), &[]);
    check(&container, &adjust("A", "1"), &[("env", "A", Op::Replace, json!("2"), json!("1"))]);
    check(&container, &adjust("B", "x"), &[("env", "B", Op::Replace, json!(""), json!("x"))]);
}

/// Updates: against what the client last asked for, where that is known; device rules have no effect.
#[test]
fn of_updates() {
    let known = everything().linux.and_then(|l| l.resources).unwrap_or_default();
    let mut asked = known.clone();
    asked.memory.get_or_insert_default().limit = Some(1.into());
    let update = |id: &str| ContainerUpdate {
        container_id: id.into(),
        linux: Some(LinuxContainerUpdate { resources: Some(asked.clone()) }),
        ignore_failure: false,
    };
    let list = [update("known"), update("other")];
    let changes: Vec<_> = updates(&list, |id| (id == "known").then_some(&known))
        .iter()
        .map(super::super::Change::record)
        .collect();
    let (first, rest) = changes.split_at(1);
    assert_eq!(rows(first), [("memory.limit", "", Op::Replace, json!(8), json!(1))]);
    assert_eq!(first[0].update, Some((0, "known".to_owned())));
    assert_eq!(rest.len(), 20, "every resource but the device rule");
    assert!(rest.iter().all(|c| c.op == Op::Add && c.update == Some((1, "other".to_owned()))));
}

/// Values may be secret: they are not in debug output.
#[test]
fn debug_hides_values() {
    let adjust = ContainerAdjustment {
        env: vec![KeyValue { key: "TOKEN".into(), value: "s3cret".into() }],
        ..Default::default()
    };
    let shown = format!("{:?}", changes(&full(), &full(), &adjust));
    assert_eq!(shown, "[Add env TOKEN]");
}
