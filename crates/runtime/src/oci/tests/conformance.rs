//! `spec/conformance-cases.md` CONF-069 to 087.

use nri_wire::api::{ContainerAdjustment, LinuxPids, LinuxRdt, LinuxSeccomp, LinuxSyscall};
use serde_json::{Value, json};

use super::{adjust, check_all, linux, mount, resources, rlimit, strings, texts};

fn busy() -> Value {
    json!({
        "ociVersion": "1.1.0",
        "process": {"args": ["old"], "oomScoreAdj": 7, "cwd": "/"},
        "linux": {
            "resources": {
                "cpu": {"shares": 1, "quota": 2, "period": 3, "cpus": "0", "mems": "0", "idle": 1},
                "pids": {"limit": 5},
                "memory": {"limit": 9, "checkBeforeUpdate": true},
            },
            "intelRdt": {"closID": "old", "l3CacheSchema": "L3:0=f"},
            "sysctl": {"net.old": "1", "net.kept": "2"},
        },
    })
}

/// The busy spec with one value changed.
fn changed(pointer: &str, value: impl Into<Value>) -> Value {
    let mut spec = busy();
    *spec.pointer_mut(pointer).unwrap() = value.into();
    spec
}

#[test]
fn conformance() {
    check_all(vec![
        ("CONF-069", busy(), ContainerAdjustment::default(), busy()),
        ("CONF-070", busy(), linux(|_| {}), busy()),
        ("CONF-071", busy(), adjust(|a| a.args = strings(&["new", "x"])), {
            changed("/process/args", json!(["new", "x"]))
        }),
        (
            "CONF-072",
            json!({}),
            adjust(|a| a.rlimits = vec![rlimit("RLIMIT_NOFILE", 456, 123)]),
            json!({"process": {"rlimits": [{"type": "RLIMIT_NOFILE", "hard": 456, "soft": 123}]}}),
        ),
        (
            "CONF-073",
            json!({}),
            resources(|r| r.memory.get_or_insert_default().limit = Some(11111.into())),
            json!({"linux": {"resources": {"memory": {"limit": 11111, "swap": 11111}}}}),
        ),
        (
            "CONF-074",
            json!({}),
            linux(|l| l.oom_score_adj = Some(123.into())),
            json!({"process": {"oomScoreAdj": 123}}),
        ),
        ("CONF-075", json!({"process": {}}), linux(|_| {}), json!({"process": {}})),
        ("CONF-076", busy(), ContainerAdjustment::default(), busy()),
        ("CONF-077", busy(), resources(|r| r.cpu.get_or_insert_default().shares = Some(11111.into())), {
            changed("/linux/resources/cpu/shares", 11111)
        }),
        ("CONF-078", busy(), resources(|r| r.cpu.get_or_insert_default().quota = Some(11111.into())), {
            changed("/linux/resources/cpu/quota", 11111)
        }),
        ("CONF-079", busy(), resources(|r| r.cpu.get_or_insert_default().period = Some(11111.into())), {
            changed("/linux/resources/cpu/period", 11111)
        }),
        ("CONF-080", busy(), resources(|r| r.cpu.get_or_insert_default().cpus = "5,6".into()), {
            changed("/linux/resources/cpu/cpus", "5,6")
        }),
        ("CONF-081", busy(), resources(|r| r.cpu.get_or_insert_default().mems = "5,6".into()), {
            changed("/linux/resources/cpu/mems", "5,6")
        }),
        ("CONF-082", busy(), resources(|r| r.pids = Some(LinuxPids { limit: 123 })), {
            changed("/linux/resources/pids/limit", 123)
        }),
        (
            "CONF-083",
            json!({}),
            adjust(|a| a.mounts = ["/a/b/c/d/e", "/a/b/c", "/a/b", "/a"].map(|d| mount(d, "/s", &[])).into()),
            json!({"mounts": Value::from_iter(["/a", "/a/b", "/a/b/c", "/a/b/c/d/e"]
                .map(|d| json!({"destination": d, "type": "bind", "source": "/s"})))}),
        ),
        (
            "CONF-084",
            json!({}),
            linux(|l| {
                l.seccomp_policy = Some(LinuxSeccomp {
                    default_action: "SCMP_ACT_ALLOW".into(),
                    listener_path: "/run/meshuggah-rocks.sock".into(),
                    syscalls: vec![LinuxSyscall {
                        names: strings(&["sched_getaffinity"]),
                        action: "SCMP_ACT_NOTIFY".into(),
                        ..Default::default()
                    }],
                    ..Default::default()
                });
            }),
            json!({"linux": {"seccomp": {
                "defaultAction": "SCMP_ACT_ALLOW",
                "listenerPath": "/run/meshuggah-rocks.sock",
                "syscalls": [{"names": ["sched_getaffinity"], "action": "SCMP_ACT_NOTIFY"}],
            }}}),
        ),
        (
            "CONF-085",
            json!({"linux": {"sysctl": {"delete.me": "foobar"}}}),
            linux(|l| l.sysctl = texts(&[("foo.bar.baz", "31415926"), ("-delete.me", "")])),
            json!({"linux": {"sysctl": {"foo.bar.baz": "31415926"}}}),
        ),
        (
            "CONF-086",
            json!({}),
            linux(|l| {
                l.rdt = Some(LinuxRdt {
                    clos_id: Some("foo".to_owned().into()),
                    schemata: Some(strings(&["L2:0=ff", "L3:0=f"]).into()),
                    enable_monitoring: Some(true.into()),
                    remove: false,
                });
            }),
            json!({"linux": {"intelRdt": {
                "closID": "foo", "schemata": ["L2:0=ff", "L3:0=f"], "enableMonitoring": true,
            }}}),
        ),
        (
            "CONF-087",
            json!({"linux": {"intelRdt": {"closID": "foo"}, "x": 1}}),
            linux(|l| l.rdt = Some(LinuxRdt { remove: true, ..Default::default() })),
            json!({"linux": {"x": 1}}),
        ),
    ]);
}
