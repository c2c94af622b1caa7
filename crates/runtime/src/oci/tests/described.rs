//! What plugins see of a spec, and updates on their way back.

use nri_wire::api::{Container, ContainerUpdate, LinuxContainer, LinuxContainerUpdate, LinuxResources};
use nri_wire::field;
use serde_json::{Value, json};

use super::super::{describe, update};
use super::{Resolvers, resources};

fn full() -> Value {
    json!({
        "ociVersion": "1.2.0",
        "annotations": {"a": "1", "b": ""},
        "mounts": [{"destination": "/d", "type": "bind", "source": "/s", "options": ["ro"]}, {"destination": "/e"}],
        "hooks": {
            "prestart": [{"path": "/1", "args": ["a"], "env": ["E=1"], "timeout": 3}],
            "createRuntime": [{"path": "/2"}], "createContainer": [{"path": "/3"}],
            "startContainer": [{"path": "/4"}], "poststart": [{"path": "/5"}], "poststop": [{"path": "/6"}],
        },
        "process": {
            "args": ["x", "y"], "env": ["A=1", "plain"], "oomScoreAdj": -5,
            "user": {"uid": 1, "gid": 4294967295u32, "additionalGids": [3, 4]},
            "rlimits": [{"type": "RLIMIT_CORE", "hard": u64::MAX, "soft": 0}],
            "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
            "scheduler": {"policy": "SCHED_FIFO", "priority": 2, "flags": ["SCHED_FLAG_RECLAIM", "SCHED_FLAG_NEW"]},
        },
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "network", "path": "/n"}],
            "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 2, "fileMode": 438, "uid": 0, "gid": 5}],
            "cgroupsPath": "/c",
            "sysctl": {"net.x": "1"},
            "netDevices": {"eth0": {"name": "e"}, "eth1": {}},
            "intelRdt": {"closID": "c", "schemata": ["L3:0=f"], "enableMonitoring": true},
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "architectures": ["SCMP_ARCH_X86"],
                "flags": ["F"], "listenerPath": "/l", "listenerMetadata": "m",
                "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1,
                    "args": [{"index": 0, "value": u64::MAX, "valueTwo": 1, "op": "SCMP_CMP_EQ"}]}],
            },
            "resources": {
                "memory": {"limit": 1, "reservation": 2, "swap": 3, "kernel": 4, "kernelTCP": 5, "swappiness": 6,
                    "disableOOMKiller": true, "useHierarchy": false},
                "cpu": {"shares": 1, "quota": -1, "period": 3, "realtimeRuntime": 4, "realtimePeriod": 5, "cpus": "0", "mems": "1"},
                "pids": {"limit": 9},
                "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
                "unified": {"memory.high": "max"},
                "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 3}],
            },
        },
    })
}

/// Every field of the list that an OCI spec holds is shown, with its value.
#[test]
fn every_field_is_described() {
    let container = describe(&full(), Container::default()).unwrap();
    let seen: Vec<_> = field::container(&container).iter().map(|entry| entry.field).collect();
    for info in field::FIELDS {
        use nri_wire::field::Field;
        let elsewhere = matches!(
            info.field,
            Field::CdiDevices
                | Field::BlockioClass
                | Field::RdtClass
                | Field::RdtRemove
                | Field::MemoryPolicy
        );
        assert_eq!(seen.contains(&info.field), !elsewhere, "{}", info.field);
    }
    let linux = container.linux.unwrap();
    assert_eq!(container.env, ["A=1", "plain"]);
    assert_eq!(container.mounts.len(), 2);
    let user = container.user.unwrap();
    assert_eq!((user.uid, user.gid, user.additional_gids.as_slice()), (1, u32::MAX, &[3, 4][..]));
    assert_eq!(container.rlimits[0].hard, u64::MAX);
    let hooks = container.hooks.unwrap();
    assert_eq!(hooks.prestart[0].timeout.unwrap().value, 3);
    assert_eq!((hooks.start_container[0].path.as_str(), hooks.poststop[0].path.as_str()), ("/4", "/6"));
    let scheduler = linux.scheduler.unwrap();
    assert_eq!((scheduler.policy, scheduler.priority, scheduler.flags.as_slice()), (2, 2, &[1][..]));
    let seccomp = linux.seccomp_policy.unwrap();
    assert_eq!(seccomp.default_errno.unwrap().value, 38);
    assert_eq!(seccomp.syscalls[0].args[0].value, u64::MAX);
    assert_eq!(linux.devices[0].file_mode.unwrap().value, 0o666);
    assert_eq!(linux.net_devices["eth0"].name, "e");
    let rules = linux.resources.unwrap().devices;
    assert_eq!((rules[0].major, rules[1].minor.unwrap().value), (None, 3));
}

#[test]
fn what_a_spec_does_not_know_is_the_callers() {
    let about = Container {
        id: "c".into(),
        args: vec!["not from here".into()],
        linux: Some(LinuxContainer {
            cgroups_path: "not from here".into(),
            resources: Some(LinuxResources {
                rdt_class: Some("gold".to_owned().into()),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let container = describe(&json!({}), about).unwrap();
    let expect = Container {
        id: "c".into(),
        linux: Some(LinuxContainer {
            resources: Some(LinuxResources {
                rdt_class: Some("gold".to_owned().into()),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(container, expect);
    // A present pids object without a limit, or with none, is a limit of 0 (api.md 14).
    let pids = describe(&json!({"linux": {"resources": {"pids": {}}}}), Container::default()).unwrap();
    assert_eq!(pids.linux.unwrap().resources.unwrap().pids.unwrap().limit, 0);
}

#[test]
fn wrong_shapes_are_named() {
    for (spec, pointer, expected) in [
        (json!([]), "", "an object"),
        (json!({"linux": 3}), "/linux", "an object"),
        (json!({"process": {"args": [1]}}), "/process/args/0", "a string"),
        (json!({"process": {"user": {"uid": -1}}}), "/process/user/uid", "an unsigned integer of 64 bits"),
        (
            json!({"process": {"user": {"uid": 1u64 << 32}}}),
            "/process/user/uid",
            "an unsigned integer of 32 bits",
        ),
        (json!({"annotations": {"a/b~": 1}}), "/annotations/a~1b~0", "a string"),
        (
            json!({"linux": {"seccomp": {"syscalls": [{}, {"args": [{"value": -1}]}]}}}),
            "/linux/seccomp/syscalls/1/args/0/value",
            "an unsigned integer of 64 bits",
        ),
        (
            json!({"linux": {"resources": {"memory": {"limit": 1.5}}}}),
            "/linux/resources/memory/limit",
            "a signed integer of 64 bits",
        ),
    ] {
        let error = describe(&spec, Container::default()).unwrap_err();
        assert_eq!((error.pointer.as_str(), error.expected), (pointer, expected));
    }
}

#[test]
fn updates_become_oci_resources() {
    let change = |build: fn(&mut LinuxResources)| {
        let adjust = resources(build);
        let resources = adjust.linux.and_then(|linux| linux.resources);
        ContainerUpdate { linux: Some(LinuxContainerUpdate { resources }), ..Default::default() }
    };
    let with = Resolvers::default().blockio(|_| Ok(json!({"weight": 5})));
    for (update_of, expect) in [
        (change(|_| {}), json!({})),
        // Unlike an adjustment, an update of the limit says nothing of swap.
        (
            change(|r| {
                r.memory.get_or_insert_default().limit = Some(0.into());
                r.cpu.get_or_insert_default().quota = Some((-1).into());
                r.pids = Some(nri_wire::api::LinuxPids { limit: -1 });
                r.blockio_class = Some("gold".to_owned().into());
                r.rdt_class = Some(String::new().into());
                r.devices = vec![Default::default()];
                r.unified = [("a".to_owned(), "b".to_owned())].into();
            }),
            json!({
                "memory": {"limit": 0}, "cpu": {"quota": -1}, "unified": {"a": "b"}, "pids": {"limit": -1},
                "blockIO": {"weight": 5},
            }),
        ),
    ] {
        assert_eq!(update(&update_of, &with).unwrap(), expect);
    }
    let classes = change(|r| r.rdt_class = Some("gold".to_owned().into()));
    let error = update(&classes, &with).unwrap_err().to_string();
    assert!(error.starts_with(r#"apply rdt.class "gold": nothing here resolves it; move"#), "{error}");
    let blockio = change(|r| r.blockio_class = Some("gold".to_owned().into()));
    assert!(update(&blockio, &Resolvers::default()).is_err());
}
