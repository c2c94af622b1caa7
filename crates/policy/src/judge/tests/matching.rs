//! What each member of a MATCH and each bound means (`policy.md` 3, "Matching", and 4).

use std::borrow::Borrow;
use std::sync::Arc;

use nri_wire::api::{
    Container, ContainerAdjustment, HugepageLimit, KeyValue, LinuxContainer, LinuxContainerAdjustment,
    LinuxCpu, LinuxIoPriority, LinuxMemory, LinuxMemoryPolicy, LinuxNamespace, LinuxNetDevice, LinuxPids,
    LinuxRdt, LinuxResources, LinuxScheduler, OptionalRepeatedString, PosixRlimit,
};

mod host;

use super::kit::{Case, judge_with, level, lines};
use crate::host::{DeviceNode, Host, Unknown};
use crate::judge::Options;

/// A host of which some things are known.
#[derive(Debug)]
struct Known;

impl Host for Known {
    fn real_path(&self, path: &str) -> Result<String, Unknown> {
        match path {
            "/link" => Ok("/usr/real".into()),
            "/gone" => Err(Unknown("look up /gone".into())),
            path => Ok(path.into()),
        }
    }

    fn has_symlink(&self, path: &str) -> Result<bool, Unknown> {
        match path {
            "/gone" => Err(Unknown("look up /gone".into())),
            path => Ok(path == "/link"),
        }
    }

    fn sha256(&self, path: &str) -> Result<[u8; 32], Unknown> {
        if path == "/h" { Ok([0xab; 32]) } else { Err(Unknown(format!("read {path}"))) }
    }

    fn device_nodes(&self, folder: &str) -> Result<Vec<DeviceNode>, Unknown> {
        assert_eq!(folder, "/dev");
        Ok(vec![DeviceNode { path: "/dev/nvidia0".into(), kind: 'c', major: 195, minor: 0 }])
    }

    fn memory_total(&self) -> Result<u64, Unknown> {
        Ok(1000)
    }

    fn pid_max(&self) -> Result<u64, Unknown> {
        Ok(100)
    }

    fn hard_limit(&self, kind: &str) -> Result<u64, Unknown> {
        if kind == "RLIMIT_NOFILE" { Ok(50) } else { Err(Unknown(format!("find {kind}"))) }
    }

    fn cpus(&self) -> Result<String, Unknown> {
        Ok("0-3\n".into())
    }

    fn memory_nodes(&self) -> Result<String, Unknown> {
        Ok("0".into())
    }
}

fn check(client: impl Borrow<Container>, adjust: impl Borrow<ContainerAdjustment>, rules: &[(&str, bool)]) {
    for (rules, allowed) in rules {
        let options = Options { host: Arc::new(Known), ..Options::default() };
        let judge = judge_with(&[&level(rules)], options);
        let verdict = Case::new(client.borrow().clone()).adjust(&judge, adjust.borrow().clone());
        let reasons: Vec<_> = verdict.refused.iter().map(|refused| &refused.reason).collect();
        assert_eq!(verdict.refused.is_empty(), *allowed, "{rules}: {:?} {reasons:?}", lines(&verdict));
    }
}

fn none() -> Container {
    Container::default()
}

fn linux(linux: LinuxContainerAdjustment) -> ContainerAdjustment {
    ContainerAdjustment { linux: Some(linux), ..Default::default() }
}

fn resources(resources: LinuxResources) -> ContainerAdjustment {
    linux(LinuxContainerAdjustment { resources: Some(resources), ..Default::default() })
}

fn has(resources: LinuxResources) -> Container {
    Container {
        linux: Some(LinuxContainer { resources: Some(resources), ..Default::default() }),
        ..Default::default()
    }
}

fn memory(limit: i64) -> LinuxResources {
    LinuxResources {
        memory: Some(LinuxMemory { limit: Some(limit.into()), ..Default::default() }),
        ..Default::default()
    }
}

fn cpu(cpu: LinuxCpu) -> LinuxResources {
    LinuxResources { cpu: Some(cpu), ..Default::default() }
}

fn cpus(cpus: &str) -> LinuxResources {
    cpu(LinuxCpu { cpus: cpus.into(), ..Default::default() })
}

#[test]
fn texts() {
    let annotations = ContainerAdjustment {
        annotations: [("a.b/c".to_owned(), "value".to_owned())].into(),
        ..Default::default()
    };
    check(
        none(),
        annotations,
        &[
            ("annotations: {allow: [{key: \"a.*\"}]}", true),
            ("annotations: {allow: [{key: \"a.b\"}]}", false),
            ("annotations: {allow: [{key: \"*\", value: \"v*\"}]}", true),
            ("annotations: {allow: [{value: \"V*\"}]}", false),
            ("annotations: {allow: [{maxBytes: 5}]}", true),
            ("annotations: {allow: [{maxBytes: 4}]}", false),
            ("annotations: {allow: [{key: x}, {key: \"a.b/?\"}]}", true),
            ("annotations: {deny: [\"@runtime-control\"]}", true),
        ],
    );
    let steers = ContainerAdjustment {
        annotations: [("run.oci.handler".to_owned(), String::new())].into(),
        ..Default::default()
    };
    check(none(), steers, &[("annotations: {deny: [\"@runtime-control\"]}", false)]);
    let env = ContainerAdjustment {
        env: vec![KeyValue { key: "LD_PRELOAD".into(), value: "/x".into() }],
        ..Default::default()
    };
    check(
        none(),
        env,
        &[
            ("env: {deny: [\"@loader-injection\"]}", false),
            ("env: {allow: [{name: \"LD_*\", value: \"/*\"}]}", true),
            ("env: {allow: [{name: \"LD_*\"}], deny: [{value: \"/x\"}]}", false),
        ],
    );
}

/// A client's line, arguments appended, a wrapper in front.
#[test]
fn command_lines() {
    let line = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let client = || Container { args: line(&["/bin/a", "x"]), ..Default::default() };
    let adjust = |words: &[&str]| ContainerAdjustment { args: line(words), ..Default::default() };
    let starts = "args: {allow: [{startsWith: requested}]}";
    let ends = "args: {allow: [{endsWith: requested}]}";
    check(client(), adjust(&["/bin/a", "x", "y"]), &[(starts, true), (ends, false)]);
    check(
        client(),
        adjust(&["", "/w", "/bin/a", "x"]),
        &[
            (starts, false),
            (ends, true),
            ("args: {allow: [{endsWith: requested, argv0: /w}]}", true),
            ("args: {allow: [{endsWith: requested, argv0: /x}]}", false),
        ],
    );
    check(none(), adjust(&["a"]), &[(starts, false), (ends, false)]);
}

/// Numbers, `requested`, percentages, `host`; negative is unlimited, and what the client did not set.
#[test]
fn bounds() {
    let asks = |limit| resources(memory(limit));
    check(
        none(),
        asks(500),
        &[
            ("memory.limit: {bound: {max: 500}}", true),
            ("memory.limit: {bound: {max: 499}}", false),
            ("memory.limit: {bound: {min: 500, max: 1Ki}}", true),
            ("memory.limit: {bound: {min: 501}}", false),
            ("memory.limit: {bound: {max: requested}}", true),
            ("memory.limit: {bound: {min: requested}}", false),
            ("memory.limit: {bound: {max: \"1%\"}}", true),
            ("memory.limit: {bound: {max: host}}", true),
            ("\"@memory\": {bound: {max: -1}}", true),
        ],
    );
    check(none(), asks(1001), &[("memory.limit: {bound: {max: host}}", false)]);
    check(
        none(),
        asks(-1),
        &[
            ("memory.limit: {bound: {max: host}}", false),
            ("memory.limit: {bound: {max: 1T}}", false),
            ("memory.limit: {bound: {max: -1}}", true),
            ("memory.limit: {bound: {max: requested}}", true),
        ],
    );
    check(
        has(memory(400)),
        asks(300),
        &[
            ("memory.limit: {bound: {max: requested}}", true),
            ("memory.limit: {bound: {max: \"75%\"}}", true),
            ("memory.limit: {bound: {max: \"74%\"}}", false),
        ],
    );
    check(has(memory(400)), asks(-1), &[("memory.limit: {bound: {max: requested}}", false)]);
    check(has(memory(-1)), asks(7), &[("memory.limit: {bound: {max: requested}}", true)]);

    let pids = |limit| resources(LinuxResources { pids: Some(LinuxPids { limit }), ..Default::default() });
    check(none(), pids(100), &[("pids.limit: {bound: {max: host}}", true)]);
    check(none(), pids(101), &[("pids.limit: {bound: {max: host}}", false)]);
    check(none(), pids(-1), &[("pids.limit: {bound: {max: host}}", false)]);

    let score = |score: i64| {
        linux(LinuxContainerAdjustment { oom_score_adj: Some(score.into()), ..Default::default() })
    };
    check(none(), score(0), &[("oomScoreAdj: {bound: {min: requested}}", true)]);
    check(
        none(),
        score(-1),
        &[("oomScoreAdj: {bound: {min: requested}}", false), ("oomScoreAdj: {bound: {min: -1}}", true)],
    );

    let shares = |shares: u64| cpu(LinuxCpu { shares: Some(shares.into()), ..Default::default() });
    check(none(), resources(shares(2)), &[("cpu.shares: {bound: {max: requested}}", false)]);
    check(has(shares(4)), resources(shares(2)), &[("cpu.shares: {bound: {max: \"50%\"}}", true)]);
}

/// Soft and hard limit both count; a type that the client did not set has nothing that is requested.
#[test]
fn resource_limits() {
    let limit = |soft, hard| PosixRlimit { r#type: "RLIMIT_NOFILE".into(), soft, hard };
    let asks = |soft, hard| ContainerAdjustment { rlimits: vec![limit(soft, hard)], ..Default::default() };
    let client = |soft, hard| Container { rlimits: vec![limit(soft, hard)], ..Default::default() };
    check(
        none(),
        asks(10, 50),
        &[
            ("rlimits: {bound: {max: host}}", true),
            ("rlimits: {bound: {max: 49}}", false),
            ("rlimits: {bound: {min: 11}}", false),
            ("rlimits: {bound: {max: requested}}", false),
            ("rlimits: {allow: [{type: NOFILE, max: 50}]}", true),
            ("rlimits: {allow: [{type: RLIMIT_NOFILE, min: 10}]}", true),
            ("rlimits: {allow: [{type: [CPU, CORE]}]}", false),
        ],
    );
    check(none(), asks(10, 51), &[("rlimits: {bound: {max: host}}", false)]);
    check(client(10, 40), asks(10, 30), &[("rlimits: {bound: {max: requested}}", true)]);
    check(client(10, 40), asks(11, 30), &[("rlimits: {bound: {max: requested}}", false)]);
}

#[test]
fn cpu_time() {
    let quota = |quota: i64, period: Option<u64>| {
        cpu(LinuxCpu { quota: Some(quota.into()), period: period.map(Into::into), ..Default::default() })
    };
    let period = |period: u64| has(cpu(LinuxCpu { period: Some(period.into()), ..Default::default() }));
    let rule = |ratio: &str| format!("\"@cpu\": allow, cpu.quota: {{allow: [{{ratio: {ratio}}}]}}");
    let (two, half) = (rule("2"), rule("0.5"));
    check(none(), resources(quota(200_000, None)), &[(&two, true), (&half, false)]);
    check(none(), resources(quota(200_001, None)), &[(&two, false)]);
    check(none(), resources(quota(50, Some(100))), &[(&half, true)]);
    check(none(), resources(quota(51, Some(100))), &[(&half, false)]);
    check(period(100), resources(quota(51, None)), &[(&half, false), (&two, true)]);
    check(none(), resources(quota(-1, None)), &[(&two, false)]);
}

#[test]
fn sets_of_cpus() {
    check(
        has(cpus("0-3,8")),
        resources(cpus("1,3")),
        &[
            ("cpu.cpus: {allow: [{subsetOf: \"0-3,7\"}]}", true),
            ("cpu.cpus: {allow: [{subsetOf: \"0-2\"}]}", false),
            ("cpu.cpus: {allow: [{subsetOf: requested}]}", true),
            ("cpu.cpus: {allow: [{subsetOf: host}]}", true),
            ("cpu.cpus: {allow: [{exclude: \"0,2\"}]}", true),
            ("cpu.cpus: {allow: [{exclude: 3}]}", false),
            ("cpu.cpus: {allow: [{minCount: 2}]}", true),
            ("cpu.cpus: {allow: [{minCount: 3}]}", false),
        ],
    );
    check(
        has(cpus("0-3")),
        resources(cpus("4")),
        &[
            ("cpu.cpus: {allow: [{subsetOf: requested}]}", false),
            ("cpu.cpus: {allow: [{subsetOf: host}]}", false),
        ],
    );
    check(none(), resources(cpus("4")), &[("cpu.cpus: {allow: [{subsetOf: requested}]}", true)]);
    check(none(), resources(cpus("x")), &[("cpu.cpus: {allow: [{exclude: 9}]}", false)]);
    let nodes = |nodes: &str| {
        linux(LinuxContainerAdjustment {
            memory_policy: Some(LinuxMemoryPolicy { mode: 2, nodes: nodes.into(), flags: vec![0] }),
            ..Default::default()
        })
    };
    check(
        none(),
        nodes("0"),
        &[
            ("memoryPolicy: {allow: [{mode: BIND, subsetOf: host, flags: [STATIC_NODES]}]}", true),
            ("memoryPolicy: {allow: [{mode: [MPOL_LOCAL, MPOL_BIND]}]}", true),
            ("memoryPolicy: {allow: [{flags: []}]}", false),
            ("memoryPolicy: {allow: [{subsetOf: \"1\"}]}", false),
        ],
    );
}

#[test]
fn keyed_resources() {
    let pages = |limit| {
        resources(LinuxResources {
            hugepage_limits: vec![HugepageLimit { page_size: "2MB".into(), limit }],
            ..Default::default()
        })
    };
    check(
        none(),
        pages(5),
        &[
            ("hugepages: {allow: [{size: 2MB, max: 5}]}", true),
            ("hugepages: {allow: [{size: [1GB, 16GB]}]}", false),
            ("hugepages: {bound: {max: requested}}", true),
            ("hugepages: {bound: {max: 4}}", false),
        ],
    );
    let unified = |value: &str| {
        resources(LinuxResources {
            unified: [("memory.high".to_owned(), value.to_owned())].into(),
            ..Default::default()
        })
    };
    check(
        none(),
        unified("100"),
        &[
            ("cgroups.unified: {allow: [{key: \"memory.*\", max: 100}]}", true),
            ("cgroups.unified: {allow: [{key: \"cpu.*\"}]}", false),
            ("cgroups.unified: {allow: [{value: \"1*\"}]}", true),
            ("cgroups.unified: {allow: [{min: 101}]}", false),
        ],
    );
    check(
        none(),
        unified("max"),
        &[("cgroups.unified: {allow: [{max: 1T}]}", false), ("cgroups.unified: {allow: [{min: 1T}]}", true)],
    );
    check(none(), unified("1 2"), &[("cgroups.unified: {allow: [{min: 0}]}", false)]);
    let path =
        |path: &str| linux(LinuxContainerAdjustment { cgroups_path: path.into(), ..Default::default() });
    let rule = "cgroups.path: {allow: [{prefix: /kube}]}";
    for (found, allowed) in [
        ("/kube", true),
        ("/kube/a", true),
        ("/kube:a", true),
        ("/kubes", false),
        ("/kube/../x", false),
        ("/a/../kube/", true),
    ] {
        check(none(), path(found), &[(rule, allowed)]);
    }
    check(none(), path("a.slice:cri:x"), &[("cgroups.path: {allow: [{prefix: a.slice}]}", true)]);
    check(none(), path("a/../../b"), &[("cgroups.path: {allow: [{prefix: a}]}", false)]);
}

#[test]
fn names() {
    let io = linux(LinuxContainerAdjustment {
        io_priority: Some(LinuxIoPriority { class: 2, priority: 4 }),
        ..Default::default()
    });
    check(
        none(),
        io,
        &[
            ("ioPriority: {allow: [{class: [BE, IDLE]}]}", true),
            ("ioPriority: {allow: [{class: IOPRIO_CLASS_BE, min: 4, max: 7}]}", true),
            ("ioPriority: {allow: [{class: RT}]}", false),
            ("ioPriority: {allow: [{min: 5}]}", false),
        ],
    );
    let scheduler = linux(LinuxContainerAdjustment {
        scheduler: Some(LinuxScheduler {
            policy: 4,
            nice: -5,
            priority: 3,
            flags: vec![0],
            ..Default::default()
        }),
        ..Default::default()
    });
    check(
        none(),
        scheduler,
        &[
            ("scheduler: {allow: [{policy: [OTHER, SCHED_BATCH]}]}", true),
            ("scheduler: {allow: [{policy: IDLE}]}", false),
            ("scheduler: {allow: [{nice: {min: -5}, priority: {max: 3}}]}", true),
            ("scheduler: {allow: [{nice: {min: -4}}]}", false),
            ("scheduler: {allow: [{flags: [SCHED_FLAG_RESET_ON_FORK, RECLAIM]}]}", true),
            ("scheduler: {allow: [{flags: [RECLAIM]}]}", false),
        ],
    );
    let namespaces = |path: &str| {
        linux(LinuxContainerAdjustment {
            namespaces: vec![LinuxNamespace { r#type: "network".into(), path: path.into() }],
            ..Default::default()
        })
    };
    check(
        none(),
        namespaces(""),
        &[
            ("namespaces: {allow: [{type: network, path: \"\"}]}", true),
            ("namespaces: {allow: [{type: [pid, ipc]}]}", false),
        ],
    );
    check(
        none(),
        namespaces("/var/run/netns/a"),
        &[
            ("namespaces: {allow: [{path: \"/run/netns/*\"}]}", true),
            ("namespaces: {allow: [{path: \"\"}]}", false),
        ],
    );
    let devices = linux(LinuxContainerAdjustment {
        net_devices: [("eth1".to_owned(), LinuxNetDevice { name: "net0".into() })].into(),
        ..Default::default()
    });
    check(
        none(),
        devices,
        &[
            ("netDevices: {allow: [{host: \"eth*\", name: net0}]}", true),
            ("netDevices: {allow: [{host: \"eth?\", name: \"eth*\"}]}", false),
        ],
    );
    let sysctl = linux(LinuxContainerAdjustment {
        sysctl: [("net.ipv4.tcp_rmem".to_owned(), "7".to_owned())].into(),
        ..Default::default()
    });
    check(
        none(),
        sysctl,
        &[
            ("sysctl: {allow: [\"@k8s-safe\"], ops: [add]}", true),
            ("sysctl: {allow: [{name: \"net.*\", min: 7, max: 7}]}", true),
            ("sysctl: {allow: [{name: \"net.*\", max: 6}]}", false),
            ("sysctl: {allow: [{value: \"7\"}]}", true),
            ("sysctl: {allow: [{max: requested}]}", false),
        ],
    );
    let rdt = linux(LinuxContainerAdjustment {
        rdt: Some(LinuxRdt {
            clos_id: Some("gold".to_owned().into()),
            schemata: Some(OptionalRepeatedString { value: vec!["L3:0=f".into()] }),
            enable_monitoring: Some(true.into()),
            remove: false,
        }),
        ..Default::default()
    });
    let rest = "rdt.schemata: {allow: [{value: \"L3:*\"}]}, rdt.monitoring: {allow: [{value: true}]}";
    check(none(), rdt.clone(), &[(&format!("rdt.closId: {{allow: [{{value: gold}}]}}, {rest}"), true)]);
    check(none(), rdt, &[(&format!("rdt.closId: {{allow: [{{value: silver}}]}}, {rest}"), false)]);
}

/// A line of schemata is dropped alone.
#[test]
fn lines_of_schemata() {
    let schemata = |lines: &[&str]| LinuxRdt {
        schemata: Some(OptionalRepeatedString { value: lines.iter().map(|&line| line.to_owned()).collect() }),
        ..Default::default()
    };
    let adjust =
        linux(LinuxContainerAdjustment { rdt: Some(schemata(&["L3:0=f", "MB:0=9"])), ..Default::default() });
    let judge = super::kit::fields("rdt.schemata: {deny: [{value: \"MB*\"}]}");
    let verdict = Case::new(none()).adjust(&judge, adjust);
    assert_eq!(lines(&verdict), ["rdt.schemata MB:0=9 add p0/l/rdt.schemata drop-entry"]);
    let left = super::kit::left(&verdict).unwrap().linux.unwrap().rdt;
    assert_eq!(left, Some(schemata(&["L3:0=f"])));
}
