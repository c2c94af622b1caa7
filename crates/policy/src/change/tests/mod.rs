//! Every field: added, replaced, removed, and what is no change (`policy.md` 3).

mod rules;

use nri_wire::api::*;
use nri_wire::field::{FIELDS, Field};
use serde_json::{Value as Json, json};

use super::{Containers, Op, Recorded, adjustment, updates};

/// `field key op before after`, as in decisions.
type Row = (&'static str, &'static str, Op, Json, Json);

fn rows(changes: &[Recorded]) -> Vec<(&str, &str, Op, Json, Json)> {
    changes
        .iter()
        .map(|c| (c.subject.name(), c.key.as_str(), c.op, c.before.clone(), c.after.clone()))
        .collect()
}

fn changes(pristine: &Container, running: &Container, adjust: &ContainerAdjustment) -> Vec<Recorded> {
    adjustment(adjust, Containers { pristine, running }).iter().map(super::Change::record).collect()
}

#[track_caller]
fn check(container: &Container, adjust: &ContainerAdjustment, expect: &[Row]) {
    assert_eq!(rows(&changes(container, container, adjust)), expect);
}

fn linux(linux: LinuxContainerAdjustment) -> ContainerAdjustment {
    ContainerAdjustment { linux: Some(linux), ..Default::default() }
}

fn resources(resources: LinuxResources) -> ContainerAdjustment {
    linux(LinuxContainerAdjustment { resources: Some(resources), ..Default::default() })
}

fn map(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn mount(destination: &str, source: &str) -> Mount {
    Mount {
        destination: destination.into(),
        source: source.into(),
        r#type: "bind".into(),
        options: vec!["ro".into()],
    }
}

fn seccomp(action: &str) -> LinuxSeccomp {
    LinuxSeccomp {
        default_action: action.into(),
        default_errno: Some(38.into()),
        architectures: vec!["SCMP_ARCH_X86_64".into()],
        syscalls: vec![LinuxSyscall {
            names: vec!["mkdir".into()],
            action: "SCMP_ACT_ERRNO".into(),
            errno_ret: Some(1.into()),
            args: vec![LinuxSeccompArg { index: 0, value: 1, value_two: 0, op: "SCMP_CMP_EQ".into() }],
        }],
        ..Default::default()
    }
}

/// An adjustment that sets every field once.
fn everything() -> ContainerAdjustment {
    let hook =
        Hook { path: "/h".into(), args: vec!["h".into()], env: vec!["A=1".into()], timeout: Some(3.into()) };
    ContainerAdjustment {
        annotations: map(&[("a", "1")]),
        mounts: vec![mount("/m", "/s")],
        env: vec![KeyValue { key: "E".into(), value: "v".into() }],
        args: vec!["run".into(), "it".into()],
        hooks: Some(Hooks {
            prestart: vec![hook.clone()],
            create_runtime: vec![hook.clone()],
            create_container: vec![hook.clone()],
            start_container: vec![hook.clone()],
            poststart: vec![hook.clone()],
            poststop: vec![hook],
        }),
        rlimits: vec![PosixRlimit { r#type: "RLIMIT_NOFILE".into(), hard: 2, soft: 1 }],
        cdi_devices: vec![CdiDevice { name: "v.com/c=d".into() }],
        linux: Some(LinuxContainerAdjustment {
            devices: vec![LinuxDevice {
                path: "/dev/d".into(),
                r#type: "c".into(),
                major: 1,
                minor: 0,
                file_mode: Some(0o600.into()),
                uid: Some(0.into()),
                gid: None,
            }],
            resources: Some(LinuxResources {
                memory: Some(LinuxMemory {
                    limit: Some(8.into()),
                    reservation: Some(9.into()),
                    swap: Some(10.into()),
                    kernel: Some(11.into()),
                    kernel_tcp: Some(12.into()),
                    swappiness: Some(13.into()),
                    disable_oom_killer: Some(true.into()),
                    use_hierarchy: Some(true.into()),
                }),
                cpu: Some(LinuxCpu {
                    shares: Some(16.into()),
                    quota: Some((-17).into()),
                    period: Some(18.into()),
                    realtime_runtime: Some(19.into()),
                    realtime_period: Some(20.into()),
                    cpus: "0-1".into(),
                    mems: "0".into(),
                }),
                hugepage_limits: vec![HugepageLimit { page_size: "2MB".into(), limit: 24 }],
                blockio_class: Some("io".to_owned().into()),
                rdt_class: Some("gold".to_owned().into()),
                unified: map(&[("memory.high", "max")]),
                devices: vec![LinuxDeviceCgroup {
                    allow: true,
                    r#type: "c".into(),
                    major: Some(1.into()),
                    minor: None,
                    access: "rwm".into(),
                }],
                pids: Some(LinuxPids { limit: 23 }),
            }),
            cgroups_path: "/cg".into(),
            oom_score_adj: Some((-29).into()),
            io_priority: Some(LinuxIoPriority { class: 2, priority: 4 }),
            seccomp_policy: Some(seccomp("SCMP_ACT_ALLOW")),
            namespaces: vec![LinuxNamespace { r#type: "network".into(), path: "/n".into() }],
            sysctl: map(&[("kernel.x", "1")]),
            net_devices: [("eth1".to_owned(), LinuxNetDevice { name: "eth0".into() })].into(),
            scheduler: Some(LinuxScheduler {
                policy: 3,
                priority: 7,
                flags: vec![0],
                runtime: 1,
                ..Default::default()
            }),
            rdt: Some(LinuxRdt {
                clos_id: Some("c".to_owned().into()),
                schemata: Some(vec!["L3:0=f".to_owned(), "MB:0=50".to_owned()].into()),
                enable_monitoring: Some(true.into()),
                remove: false,
            }),
            memory_policy: Some(LinuxMemoryPolicy { mode: 2, nodes: "0".into(), flags: vec![0] }),
        }),
    }
}

/// The container that has what [`everything`] sets.
fn full() -> Container {
    let adjust = everything();
    let linux = adjust.linux.unwrap_or_default();
    Container {
        annotations: adjust.annotations,
        mounts: adjust.mounts,
        env: vec!["E=v".into()],
        args: adjust.args,
        hooks: adjust.hooks,
        rlimits: adjust.rlimits,
        cdi_devices: adjust.cdi_devices,
        linux: Some(LinuxContainer {
            devices: linux.devices,
            resources: linux.resources,
            cgroups_path: linux.cgroups_path,
            oom_score_adj: linux.oom_score_adj,
            io_priority: linux.io_priority,
            seccomp_policy: linux.seccomp_policy,
            namespaces: linux.namespaces,
            sysctl: linux.sysctl,
            net_devices: linux.net_devices,
            scheduler: linux.scheduler,
            rdt: linux.rdt,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Each field, set in an empty container, is an `add` with this value.
#[test]
fn every_field_added() {
    use Op::Add;
    let hook = |kind: &str| json!({"type": kind, "path": "/h", "args": ["h"], "env": ["A=1"], "timeout": 3});
    let policy = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 38, "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
                      "args": [{"index": 0, "value": 1, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]}],
    });
    let expect = [
        ("annotations", "a", json!("1")),
        ("mounts", "/m", json!({"destination": "/m", "type": "bind", "source": "/s", "options": ["ro"]})),
        ("env", "E", json!("v")),
        ("args", "", json!(["run", "it"])),
        ("hooks", "prestart:/h", hook("prestart")),
        ("hooks", "createRuntime:/h", hook("createRuntime")),
        ("hooks", "createContainer:/h", hook("createContainer")),
        ("hooks", "startContainer:/h", hook("startContainer")),
        ("hooks", "poststart:/h", hook("poststart")),
        ("hooks", "poststop:/h", hook("poststop")),
        (
            "devices",
            "/dev/d",
            json!({"path": "/dev/d", "type": "c", "major": 1, "minor": 0, "fileMode": 0o600, "uid": 0}),
        ),
        ("memory.limit", "", json!(8)),
        ("memory.reservation", "", json!(9)),
        ("memory.swap", "", json!(10)),
        ("memory.kernel", "", json!(11)),
        ("memory.kernelTcp", "", json!(12)),
        ("memory.swappiness", "", json!(13)),
        ("memory.disableOomKiller", "", json!(true)),
        ("memory.useHierarchy", "", json!(true)),
        ("cpu.shares", "", json!(16)),
        ("cpu.quota", "", json!(-17)),
        ("cpu.period", "", json!(18)),
        ("cpu.realtimeRuntime", "", json!(19)),
        ("cpu.realtimePeriod", "", json!(20)),
        ("cpu.cpus", "", json!("0-1")),
        ("cpu.mems", "", json!("0")),
        ("hugepages", "2MB", json!(24)),
        ("deviceCgroup", "c 1:*", json!({"allow": true, "type": "c", "major": 1, "access": "rwm"})),
        ("cgroups.unified", "memory.high", json!("max")),
        ("blockio.class", "", json!("io")),
        ("rdt.class", "", json!("gold")),
        ("pids.limit", "", json!(23)),
        ("cgroups.path", "", json!("/cg")),
        ("oomScoreAdj", "", json!(-29)),
        ("ioPriority", "", json!({"class": "IOPRIO_CLASS_BE", "priority": 4})),
        ("seccomp", "", policy),
        ("namespaces", "network", json!("/n")),
        ("sysctl", "kernel.x", json!("1")),
        ("netDevices", "eth1", json!({"name": "eth0"})),
        (
            "scheduler",
            "",
            json!({"policy": "SCHED_RR", "nice": 0, "priority": 7, "flags": ["SCHED_FLAG_RESET_ON_FORK"],
                   "runtime": 1, "deadline": 0, "period": 0}),
        ),
        ("rdt.closId", "", json!("c")),
        ("rdt.schemata", "L3:0=f", json!("L3:0=f")),
        ("rdt.schemata", "MB:0=50", json!("MB:0=50")),
        ("rdt.monitoring", "", json!(true)),
        ("memoryPolicy", "", json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]})),
        ("rlimits", "RLIMIT_NOFILE", json!({"type": "RLIMIT_NOFILE", "hard": 2, "soft": 1})),
        ("cdiDevices", "v.com/c=d", json!(true)),
    ]
    .map(|(field, key, after)| (field, key, Add, Json::Null, after));
    check(&Container::default(), &everything(), &expect);
    for info in FIELDS {
        let seen = expect.iter().any(|row| row.0 == info.name) || info.field == Field::RdtRemove;
        assert!(seen, "{} has no row: give it one, and a form in `shape`", info.name);
    }
}

/// What equals the client's value is no change, except where every addition counts.
#[test]
fn the_clients_own_values() {
    let full = full();
    let names: Vec<_> =
        changes(&full, &full, &everything()).iter().map(|c| (c.subject.name(), c.op)).collect();
    let hooks = [("hooks", Op::Add); 6];
    let rest = [("deviceCgroup", Op::Add), ("memoryPolicy", Op::Add), ("cdiDevices", Op::Add)];
    assert_eq!(names, [&hooks[..], &rest[..]].concat());
}

/// Each field with another value than the client's is a `replace` that shows both.
#[test]
fn every_field_replaced() {
    let mut other = full();
    other.annotations = map(&[("a", "0")]);
    other.mounts = vec![mount("/m/", "/other")];
    other.env = vec!["E=old".into()];
    other.args = vec!["old".into()];
    other.rlimits = vec![PosixRlimit { r#type: "RLIMIT_NOFILE".into(), hard: 9, soft: 9 }];
    let linux = other.linux.get_or_insert_default();
    linux.devices = vec![LinuxDevice { path: "/dev//d".into(), ..Default::default() }];
    linux.cgroups_path = "/old".into();
    linux.oom_score_adj = Some(0.into());
    linux.io_priority = Some(LinuxIoPriority { class: 1, priority: 0 });
    linux.seccomp_policy = Some(seccomp("SCMP_ACT_ERRNO"));
    linux.namespaces = vec![LinuxNamespace { r#type: "network".into(), path: String::new() }];
    linux.sysctl = map(&[("kernel.x", "0")]);
    linux.net_devices = [("eth1".to_owned(), LinuxNetDevice::default())].into();
    linux.scheduler = Some(LinuxScheduler { policy: 1, ..Default::default() });
    linux.rdt = Some(LinuxRdt {
        clos_id: Some("old".to_owned().into()),
        schemata: Some(vec!["L3:0=1".to_owned()].into()),
        enable_monitoring: Some(false.into()),
        remove: false,
    });
    linux.resources = Some(LinuxResources {
        memory: Some(LinuxMemory {
            limit: Some(1.into()),
            reservation: Some(1.into()),
            swap: Some(1.into()),
            kernel: Some(1.into()),
            kernel_tcp: Some(1.into()),
            swappiness: Some(1.into()),
            disable_oom_killer: Some(false.into()),
            use_hierarchy: Some(false.into()),
        }),
        cpu: Some(LinuxCpu {
            shares: Some(1.into()),
            quota: Some(1.into()),
            period: Some(1.into()),
            realtime_runtime: Some(1.into()),
            realtime_period: Some(1.into()),
            cpus: "7".into(),
            mems: "7".into(),
        }),
        hugepage_limits: vec![HugepageLimit { page_size: "2MB".into(), limit: 1 }],
        blockio_class: Some("old".to_owned().into()),
        rdt_class: Some("old".to_owned().into()),
        unified: map(&[("memory.high", "1")]),
        pids: Some(LinuxPids { limit: 1 }),
        ..Default::default()
    });
    let added = changes(&Container::default(), &Container::default(), &everything());
    let replaced = changes(&other, &other, &everything());
    assert_eq!(replaced.len(), added.len());
    for (replaced, added) in replaced.iter().zip(&added) {
        let always = ["hooks", "deviceCgroup", "memoryPolicy", "cdiDevices"].contains(&added.subject.name());
        let op = if always { Op::Add } else { Op::Replace };
        assert_eq!(
            (replaced.op, replaced.before.is_null(), &replaced.key, &replaced.after),
            (op, always, &added.key, &added.after),
            "{replaced:?}"
        );
    }
}
