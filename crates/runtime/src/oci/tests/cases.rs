//! EXT-034, and the quirks that are mended here.

use nri_wire::api::{
    HugepageLimit, IoPrioClass, LinuxDevice, LinuxDeviceCgroup, LinuxIoPriority, LinuxMemoryPolicy,
    LinuxNamespace, LinuxNetDevice, LinuxPids, LinuxRdt, LinuxResources, LinuxScheduler, LinuxSchedulerFlag,
    LinuxSchedulerPolicy, LinuxSeccomp, LinuxSeccompArg, LinuxSyscall, MpolFlag, MpolMode,
};
use serde_json::{Value, json};

use super::{
    Resolvers, adjust, apply, check_all, check_with, env, hook, linux, mount, prestart, resources, rlimit,
    strings, texts,
};

fn namespace(kind: &str, path: &str) -> LinuxNamespace {
    LinuxNamespace { r#type: kind.to_owned(), path: path.to_owned() }
}

fn device(path: &str, kind: &str, major: i64, minor: i64) -> LinuxDevice {
    LinuxDevice { path: path.to_owned(), r#type: kind.to_owned(), major, minor, ..Default::default() }
}

/// A key that is removed and set is set, in every order (D3, E1).
#[test]
fn ext_034_removals_come_first() {
    let kept = json!({"a": "1", "k": "old"});
    let set = json!({"a": "1", "k": "new"});
    check_all(vec![
        (
            "annotations",
            json!({"annotations": kept}),
            adjust(|a| a.annotations = texts(&[("-k", ""), ("k", "new")])),
            json!({"annotations": set}),
        ),
        (
            "D3 with a key that sorts before the mark",
            json!({"annotations": {"!k": "old"}}),
            adjust(|a| a.annotations = texts(&[("!k", "new"), ("-!k", "")])),
            json!({"annotations": {"!k": "new"}}),
        ),
        (
            "sysctl",
            json!({"linux": {"sysctl": kept}}),
            linux(|l| l.sysctl = texts(&[("-k", ""), ("k", "new")])),
            json!({"linux": {"sysctl": set}}),
        ),
        (
            "net devices",
            json!({"linux": {"netDevices": {"eth0": {"name": "a"}, "eth1": {}}}}),
            linux(|l| {
                l.net_devices = [
                    ("-eth0".to_owned(), LinuxNetDevice::default()),
                    ("-eth1".to_owned(), LinuxNetDevice::default()),
                    ("eth0".to_owned(), LinuxNetDevice { name: "b".into() }),
                    ("eth2".to_owned(), LinuxNetDevice::default()),
                ]
                .into();
            }),
            json!({"linux": {"netDevices": {"eth0": {"name": "b"}, "eth2": {}}}}),
        ),
        (
            "a mark alone creates nothing",
            json!({}),
            adjust(|a| {
                a.annotations = texts(&[("-k", "")]);
                a.env = env(&[("-K", "")]);
                a.mounts = vec![mount("-/m", "", &[])];
                a.linux.get_or_insert_default().devices = vec![device("-/dev/x", "c", 1, 1)];
                a.linux.get_or_insert_default().namespaces = vec![namespace("-user", "")];
            }),
            json!({}),
        ),
    ]);
}

/// Correction 11 and E8.
#[test]
fn environment() {
    let base = json!({"process": {"env": ["A=1", "plain", "B=2", "A=3", "=x", "C=4"]}});
    let spec = |list: Value| json!({"process": {"env": list}});
    check_all(vec![
        (
            "a set leaves one, in its first place; others stay untouched",
            base.clone(),
            adjust(|a| a.env = env(&[("A", "new=er"), ("D", "")])),
            spec(json!(["A=new=er", "plain", "B=2", "=x", "C=4", "D="])),
        ),
        (
            "a removal takes all of the name",
            base.clone(),
            adjust(|a| a.env = env(&[("-A", ""), ("-absent", "")])),
            spec(json!(["plain", "B=2", "=x", "C=4"])),
        ),
        (
            "a set wins over a removal, wherever it stands",
            base.clone(),
            adjust(|a| a.env = env(&[("B", "x"), ("-B", ""), ("-E", ""), ("E", "y"), ("plain", "z")])),
            spec(json!(["A=1", "plain=z", "B=x", "A=3", "=x", "C=4", "E=y"])),
        ),
        (
            "the later value counts, in the place of the first; no name is ignored",
            json!({}),
            adjust(|a| a.env = env(&[("A", "1"), ("B", "2"), ("A", "3"), ("", "4")])),
            spec(json!(["A=3", "B=2"])),
        ),
    ]);
}

#[test]
fn process() {
    let scheduler = |policy: LinuxSchedulerPolicy| {
        linux(|l| {
            l.scheduler = Some(LinuxScheduler {
                policy: policy.into(),
                nice: -5,
                flags: vec![LinuxSchedulerFlag::SchedFlagResetOnFork.into()],
                runtime: u64::MAX,
                ..Default::default()
            });
        })
    };
    let priority = |class: IoPrioClass| {
        linux(|l| l.io_priority = Some(LinuxIoPriority { class: class.into(), priority: 0 }))
    };
    check_all(vec![
        (
            "D8, E5: one entry a type",
            json!({"process": {"rlimits": [
                {"type": "RLIMIT_CORE", "hard": 1, "soft": 1},
                {"type": "RLIMIT_NOFILE", "hard": 2, "soft": 2, "x": "kept"},
                {"type": "RLIMIT_NOFILE", "hard": 3, "soft": 3},
            ]}}),
            adjust(|a| a.rlimits = vec![rlimit("RLIMIT_NOFILE", u64::MAX, 9), rlimit("RLIMIT_NEW", 5, 5)]),
            json!({"process": {"rlimits": [
                {"type": "RLIMIT_CORE", "hard": 1, "soft": 1},
                {"type": "RLIMIT_NOFILE", "hard": u64::MAX, "soft": 9, "x": "kept"},
                {"type": "RLIMIT_NEW", "hard": 5, "soft": 5},
            ]}}),
        ),
        (
            "scheduler",
            json!({"process": {"scheduler": {"policy": "SCHED_NEW"}, "cwd": "/"}}),
            scheduler(LinuxSchedulerPolicy::SchedDeadline),
            json!({"process": {"scheduler": {
                "policy": "SCHED_DEADLINE", "nice": -5, "flags": ["SCHED_FLAG_RESET_ON_FORK"], "runtime": u64::MAX,
            }, "cwd": "/"}}),
        ),
        (
            "scheduler NONE",
            json!({"process": {"scheduler": {"policy": "SCHED_FIFO"}, "a": 1, "b": 2}}),
            scheduler(LinuxSchedulerPolicy::SchedNone),
            json!({"process": {"a": 1, "b": 2}}),
        ),
        (
            "I/O priority",
            json!({"process": null}),
            priority(IoPrioClass::IoprioClassIdle),
            json!({"process": {"ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0}}}),
        ),
        (
            "I/O priority NONE",
            json!({"process": {"ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": 1}}}),
            priority(IoPrioClass::IoprioClassNone),
            json!({"process": {}}),
        ),
        (
            "a leading empty argument belongs to the line",
            json!({}),
            adjust(|a| a.args = strings(&["", "x"])),
            json!({"process": {"args": ["", "x"]}}),
        ),
    ]);
}

#[test]
fn hooks() {
    check_all(vec![
        (
            "appended, all kinds",
            json!({"hooks": {"prestart": [{"path": "/own"}]}}),
            adjust(|a| {
                a.hooks = prestart(&["/p"]);
                let hooks = a.hooks.get_or_insert_default();
                hooks.poststop = vec![hook("/s")];
                hooks.create_runtime = vec![nri_wire::api::Hook {
                    path: "/r".into(),
                    args: strings(&["r", "x"]),
                    env: strings(&["A=1"]),
                    timeout: Some(0.into()),
                }];
            }),
            json!({"hooks": {
                "prestart": [{"path": "/own"}, {"path": "/p"}],
                "createRuntime": [{"path": "/r", "args": ["r", "x"], "env": ["A=1"], "timeout": 0}],
                "poststop": [{"path": "/s"}],
            }}),
        ),
        (
            "two plugins that add the same hook get it twice",
            json!({"hooks": {"prestart": [{"path": "/p"}, {"path": "/q"}]}}),
            adjust(|a| a.hooks = prestart(&["/p", "/p"])),
            json!({"hooks": {"prestart": [{"path": "/p"}, {"path": "/q"}, {"path": "/p"}, {"path": "/p"}]}}),
        ),
    ]);
}

/// E7 and rules.
#[test]
fn devices() {
    let allow = |kind: &str, major: i64, minor: i64, access: &str| json!({"allow": true, "type": kind, "major": major, "minor": minor, "access": access});
    let deny = json!({"allow": false, "access": "rwm"});
    let raw = |path: &str, kind: &str, major: i64, minor: i64| json!({"path": path, "type": kind, "major": major, "minor": minor});
    check_all(vec![
        (
            "access by what the device is, rules once",
            json!({"linux": {
                "devices": [raw("/dev/a", "c", 1, 1), raw("/dev/b", "c", 1, 2), raw("/dev/a", "c", 1, 3)],
                "resources": {"devices": [allow("c", 9, 1, "rwm"), deny]},
            }}),
            linux(|l| {
                l.devices = vec![
                    LinuxDevice {
                        file_mode: Some(0o400.into()),
                        uid: Some(0.into()),
                        ..device("/dev/a", "c", 9, 1)
                    },
                    device("/dev/blk", "b", 8, 0),
                    device("/dev/u", "u", 8, 1),
                    device("/dev/fifo", "p", 0, 0),
                    device("-/dev/b", "", 0, 0),
                ];
            }),
            json!({"linux": {
                "devices": [
                    {"path": "/dev/a", "type": "c", "major": 9, "minor": 1, "fileMode": 0o400, "uid": 0},
                    raw("/dev/blk", "b", 8, 0),
                    raw("/dev/u", "u", 8, 1),
                    raw("/dev/fifo", "p", 0, 0),
                ],
                "resources": {"devices": [
                    deny, allow("c", 9, 1, "rwm"), allow("b", 8, 0, "rwm"), allow("c", 8, 1, "rwm"),
                ]},
            }}),
        ),
        (
            "rules of a plugin come after those of devices",
            json!({}),
            linux(|l| {
                l.devices = vec![device("/dev/x", "c", 7, 7)];
                l.resources = Some(LinuxResources {
                    devices: vec![LinuxDeviceCgroup { access: "w".into(), ..Default::default() }; 2],
                    ..Default::default()
                });
            }),
            json!({"linux": {
                "devices": [raw("/dev/x", "c", 7, 7)],
                "resources": {"devices": [allow("c", 7, 7, "rwm"), {"allow": false, "access": "w"}]},
            }}),
        ),
    ]);
}

/// E3, E6, D8, correction 14.
#[test]
fn resource_fields() {
    let memory =
        |build: fn(&mut nri_wire::api::LinuxMemory)| resources(|r| build(r.memory.get_or_insert_default()));
    let spec = |memory: Value| json!({"linux": {"resources": {"memory": memory}}});
    check_all(vec![
        (
            "all memory fields, swap as the plugin says",
            json!({}),
            memory(|m| {
                m.limit = Some(i64::MAX.into());
                m.reservation = Some(2.into());
                m.swap = Some((-1).into());
                m.kernel = Some(3.into());
                m.kernel_tcp = Some(4.into());
                m.swappiness = Some(u64::MAX.into());
                m.disable_oom_killer = Some(true.into());
                m.use_hierarchy = Some(false.into());
            }),
            spec(json!({
                "limit": i64::MAX, "reservation": 2, "swap": -1, "kernel": 3, "kernelTCP": 4,
                "swappiness": u64::MAX, "disableOOMKiller": true, "useHierarchy": false,
            })),
        ),
        ("a limit of 0 says nothing", json!({}), memory(|m| m.limit = Some(0.into())), json!({})),
        (
            "other memory fields leave limit and swap alone",
            spec(json!({"limit": 5, "swap": 6})),
            memory(|m| m.reservation = Some(1.into())),
            spec(json!({"limit": 5, "swap": 6, "reservation": 1})),
        ),
        (
            "E6: unlimited lifts a limit",
            json!({"linux": {"resources": {"pids": {"limit": 5, "x": 1}}}}),
            resources(|r| r.pids = Some(LinuxPids { limit: -7 })),
            json!({"linux": {"resources": {"pids": {"limit": -1, "x": 1}}}}),
        ),
        (
            "huge pages by size, unified by key",
            json!({"linux": {"resources": {
                "hugepageLimits": [{"pageSize": "2MB", "limit": 1}, {"pageSize": "1GB", "limit": 2}],
                "unified": {"memory.high": "1"},
            }}}),
            resources(|r| {
                r.hugepage_limits = [("1GB", 3), ("64KB", u64::MAX)]
                    .map(|(size, limit)| HugepageLimit { page_size: size.into(), limit })
                    .into();
                r.unified = texts(&[("memory.high", "max"), ("-x", "y")]);
            }),
            json!({"linux": {"resources": {
                "hugepageLimits": [
                    {"pageSize": "2MB", "limit": 1}, {"pageSize": "1GB", "limit": 3},
                    {"pageSize": "64KB", "limit": u64::MAX},
                ],
                "unified": {"memory.high": "max", "-x": "y"},
            }}}),
        ),
        (
            "empty classes need no resolver",
            json!({"linux": {"intelRdt": {}, "resources": {"blockIO": {"weight": 1}}, "y": 1}}),
            resources(|r| {
                r.blockio_class = Some(String::new().into());
                r.rdt_class = Some(String::new().into());
            }),
            json!({"linux": {"resources": {}, "y": 1}}),
        ),
    ]);
}

#[test]
fn linux_sections() {
    let policy = |errno: Option<u32>| {
        linux(|l| {
            l.seccomp_policy = Some(LinuxSeccomp {
                default_action: "SCMP_ACT_NEW".into(),
                default_errno: errno.map(Into::into),
                architectures: strings(&["SCMP_ARCH_X86_64"]),
                flags: strings(&["SECCOMP_FILTER_FLAG_LOG"]),
                listener_path: String::new(),
                listener_metadata: "m".into(),
                syscalls: vec![LinuxSyscall {
                    names: strings(&["a", "b"]),
                    action: "SCMP_ACT_ERRNO".into(),
                    errno_ret: Some(0.into()),
                    args: vec![LinuxSeccompArg {
                        index: 1,
                        value: u64::MAX,
                        value_two: 2,
                        op: "SCMP_CMP_MASKED_EQ".into(),
                    }],
                }],
            });
        })
    };
    check_all(vec![
        (
            "E2, E10: the default errno is kept, a linux part is made",
            json!({}),
            policy(Some(38)),
            json!({"linux": {"seccomp": {
                "defaultAction": "SCMP_ACT_NEW",
                "defaultErrnoRet": 38,
                "architectures": ["SCMP_ARCH_X86_64"],
                "flags": ["SECCOMP_FILTER_FLAG_LOG"],
                "listenerMetadata": "m",
                "syscalls": [{
                    "names": ["a", "b"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0,
                    "args": [{"index": 1, "value": u64::MAX, "op": "SCMP_CMP_MASKED_EQ", "valueTwo": 2}],
                }],
            }}}),
        ),
        (
            "correction 1: namespaces, time too",
            json!({"linux": {"namespaces": [
                {"type": "pid"}, {"type": "network", "path": "/n"}, {"type": "ipc", "path": "/i"}, {"type": "uts"},
            ]}}),
            linux(|l| {
                l.namespaces = vec![
                    namespace("network", ""),
                    namespace("time", "/t"),
                    namespace("-uts", ""),
                    namespace("pid", "/p"),
                ];
            }),
            json!({"linux": {"namespaces": [
                {"type": "pid", "path": "/p"}, {"type": "network"}, {"type": "ipc", "path": "/i"},
                {"type": "time", "path": "/t"},
            ]}}),
        ),
        (
            "memory policy",
            json!({"linux": {"memoryPolicy": {"mode": "MPOL_NEW", "nodes": "9", "flags": []}}}),
            linux(|l| {
                l.memory_policy = Some(LinuxMemoryPolicy {
                    mode: MpolMode::MpolBind.into(),
                    nodes: "0-1".into(),
                    flags: vec![MpolFlag::MpolFStaticNodes.into()],
                });
            }),
            json!({"linux": {"memoryPolicy": {
                "mode": "MPOL_BIND", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"],
            }}}),
        ),
        (
            "E12: remove and set starts from nothing",
            json!({"linux": {"intelRdt": {"closID": "old", "l3CacheSchema": "L3:0=f"}}}),
            linux(|l| {
                l.rdt = Some(LinuxRdt {
                    enable_monitoring: Some(false.into()),
                    remove: true,
                    ..Default::default()
                });
            }),
            json!({"linux": {"intelRdt": {"enableMonitoring": false}}}),
        ),
        (
            "correction 12: an empty CLOS id clears",
            json!({"linux": {"intelRdt": {"closID": "old", "schemata": ["x"], "y": 1}}}),
            linux(|l| {
                l.rdt = Some(LinuxRdt {
                    clos_id: Some(String::new().into()),
                    schemata: Some(Vec::new().into()),
                    ..Default::default()
                });
            }),
            json!({"linux": {"intelRdt": {"y": 1}}}),
        ),
        (
            "cgroups path",
            json!({"linux": {"cgroupsPath": "/old"}}),
            linux(|l| l.cgroups_path = "/new".into()),
            json!({"linux": {"cgroupsPath": "/new"}}),
        ),
    ]);
}

/// E4, corrections 10 and 13.
#[test]
fn mounts() {
    let raw = |destination: &str, source: &str| json!({"destination": destination, "source": source});
    let bind = |destination: &str, source: &str| json!({"destination": destination, "type": "bind", "source": source});
    check_all(vec![
        (
            "not sorted while no mount is adjusted",
            json!({"mounts": [raw("/b/c", "1"), raw("/a", "2")]}),
            adjust(|a| a.args = strings(&["x"])),
            json!({"mounts": [raw("/b/c", "1"), raw("/a", "2")], "process": {"args": ["x"]}}),
        ),
        (
            "sorted when one is, in a stable way; removals first",
            json!({"mounts": [
                raw("/b/c", "1"), raw("/z", "2"), raw("/a/", "3"), raw("/", "4"), raw("/a/", "5"), raw("/gone", "6"),
                {"destination": "/b", "uidMappings": []},
            ]}),
            adjust(|a| {
                a.mounts = vec![mount("/gone", "new", &[]), mount("-/gone", "", &[]), mount("/z", "n", &[])];
            }),
            json!({"mounts": [
                raw("/", "4"), raw("/a/", "3"), raw("/a/", "5"), {"destination": "/b", "uidMappings": []},
                bind("/gone", "new"), bind("/z", "n"), raw("/b/c", "1"),
            ]}),
        ),
        (
            "all mounts of a destination are replaced",
            json!({"mounts": [raw("/a", "1"), raw("/a", "2")]}),
            adjust(|a| a.mounts = vec![mount("/a", "3", &[]), mount("/a", "4", &[])]),
            json!({"mounts": [bind("/a", "4")]}),
        ),
    ]);
    let table = "1 0 8:1 / / rw shared:1 - ext4 d rw\n2 1 8:2 / /slave rw master:1 - ext4 d rw\n3 1 8:3 / /own rw - ext4 d rw\n";
    let with = Resolvers::default().mountinfo(move || Ok(table.to_owned()));
    let one = |options: &[&str]| adjust(|a| a.mounts = vec![mount("/m", "/slave/x", options)]);
    let spec = |root: &str| json!({"mounts": [], "linux": {"rootfsPropagation": root}});
    for (name, root, options, expect) in [
        ("rslave", "rprivate", &["rbind", "rslave"][..], "rslave"),
        ("rslave leaves rshared", "rshared", &["rslave"], "rshared"),
        ("rprivate", "private", &["rslave", "rprivate"], "private"),
        ("short forms do not count", "private", &["shared"], "private"),
    ] {
        let applied = apply(&spec(root), &one(options), &with).unwrap();
        assert_eq!(applied.spec.pointer("/linux/rootfsPropagation").unwrap(), expect, "{name}");
        assert!(applied.unchecked.is_empty());
    }
    // The second mount asks for nothing, so its private source is fine (E4).
    let leak = adjust(|a| {
        a.mounts = vec![mount("/m", "/x", &["rshared"]), mount("/n", "/own", &["ro"])];
    });
    let applied = apply(&json!({}), &leak, &with).unwrap();
    assert_eq!(applied.spec.pointer("/linux/rootfsPropagation").unwrap(), "rshared");
    let blind = apply(&json!({}), &leak, &Resolvers::default()).unwrap();
    assert_eq!(blind.unchecked, ["/x"]);
}

/// What callbacks are asked and what becomes of it.
#[test]
fn resolvers() {
    let with = Resolvers::default()
        .blockio(|class| Ok(json!({"weight": class.len()})))
        .rdt(|class| Ok(json!({"closID": class})))
        .cdi(|spec, names| {
            spec["process"]["env"] = json!([format!("CDI={}", names.join("+"))]);
            Ok(())
        })
        .annotations(|mut map| {
            assert_eq!(map.remove("-gone").as_deref(), Some(""));
            map.remove("secret");
            map.insert("-other".to_owned(), String::new());
            Ok(map)
        })
        .sysctl(|map| Ok(map.into_iter().filter(|(key, _)| key.starts_with("net.")).collect()))
        .resources(|resources| {
            if let Some(resources) = resources {
                resources.insert("checked".to_owned(), true.into());
            }
            Ok(())
        });
    let adjust = adjust(|a| {
        a.annotations = texts(&[("-gone", ""), ("secret", "x"), ("kept", "y")]);
        a.cdi_devices = ["v/c=a", "v/c=b"].map(|n| nri_wire::api::CdiDevice { name: n.into() }).into();
        let linux = a.linux.get_or_insert_default();
        linux.sysctl = texts(&[("net.a", "1"), ("kernel.b", "2")]);
        linux.rdt = Some(LinuxRdt { enable_monitoring: Some(true.into()), ..Default::default() });
        linux.resources = Some(LinuxResources {
            blockio_class: Some("gold".to_owned().into()),
            rdt_class: Some("silver".to_owned().into()),
            pids: Some(LinuxPids { limit: 0 }),
            ..Default::default()
        });
    });
    check_with(
        "resolvers",
        &json!({"annotations": {"gone": "1", "other": "2"}, "process": {}, "linux": {"resources": {}}}),
        &adjust,
        &with,
        &json!({
            "annotations": {"gone": "1", "kept": "y"},
            "process": {"env": ["CDI=v/c=a+v/c=b"]},
            "linux": {
                "resources": {"pids": {"limit": 0}, "checked": true, "blockIO": {"weight": 4}},
                "sysctl": {"net.a": "1"},
                "intelRdt": {"closID": "silver", "enableMonitoring": true},
            },
        }),
    );
}
