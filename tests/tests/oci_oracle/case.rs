//! Random specs and adjustments. Names are few, so that adjustments meet what is there; specs hold only what
//! runtime-spec 1.3.0 knows, since the reference loses all else.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use nri_wire::api::{
    ContainerAdjustment, DESCRIPTOR_SET, Hook, Hooks, HugepageLimit, KeyValue, LinuxContainerAdjustment,
    LinuxCpu, LinuxDevice, LinuxDeviceCgroup, LinuxIoPriority, LinuxMemory, LinuxMemoryPolicy,
    LinuxNamespace, LinuxNetDevice, LinuxPids, LinuxRdt, LinuxResources, LinuxScheduler, LinuxSeccomp,
    LinuxSeccompArg, LinuxSyscall, Mount, PosixRlimit,
};
use proptest::collection::{btree_map, vec};
use proptest::option::{of, weighted};
use proptest::prelude::*;
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Map, Value, json};

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) spec: Value,
    pub(crate) adjust: ContainerAdjustment,
    /// Whether there are resolvers of classes.
    pub(crate) resolves: bool,
}

impl Case {
    /// The oracle's line.
    pub(crate) fn line(&self) -> Value {
        static POOL: LazyLock<DescriptorPool> =
            LazyLock::new(|| DescriptorPool::decode(DESCRIPTOR_SET).unwrap());
        let descriptor = POOL.get_message_by_name(&ContainerAdjustment::full_name()).unwrap();
        let message = DynamicMessage::decode(descriptor, self.adjust.encode_to_vec().as_slice()).unwrap();
        let mut line = json!({"spec": self.spec, "adjust": serde_json::to_value(message).unwrap()});
        if self.resolves {
            line["blockio"] = json!({"gold": blockio()});
            line["rdt"] = json!({"gold": rdt_class()});
        }
        line
    }

    pub(crate) fn linux(&self) -> &LinuxContainerAdjustment {
        self.adjust.linux.as_ref().unwrap()
    }

    pub(crate) fn resources(&self) -> &LinuxResources {
        self.linux().resources.as_ref().unwrap()
    }

    /// The texts of a member of each element of a list of the spec, or of the elements.
    pub(crate) fn has(&self, list: &str, member: Option<&str>) -> Vec<&str> {
        let list = self.spec.pointer(list).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(|element| member.map_or(Some(element), |member| element.get(member)))
            .filter_map(Value::as_str)
            .collect()
    }
}

pub(crate) fn blockio() -> Value {
    json!({"weight": 7})
}

pub(crate) fn rdt_class() -> Value {
    json!({"closID": "resolved", "l3CacheSchema": "L3:0=f"})
}

prop_compose! {
    pub(crate) fn strategy()(spec in spec(), adjust in adjustment(), resolves in prop::bool::weighted(0.8)) -> Case {
        Case { spec, adjust, resolves }
    }
}

fn one(list: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(list).prop_map(str::to_owned)
}

/// Keys, some of them removals.
fn key() -> impl Strategy<Value = String> {
    one(&["a", "b", "c", "d", "e", "-a", "-b", "-z"])
}

fn word() -> impl Strategy<Value = String> {
    one(&["", "v", "w=w", "é\"\\<"])
}

fn words() -> impl Strategy<Value = Vec<String>> {
    vec(word(), 0..3)
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(key(), word(), 0..3)
}

/// Of many fields, only a few are set in one adjustment, so that deviations do not hide behind each other.
fn some<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    weighted(0.2, strategy)
}

fn few<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    some(vec(strategy, 1..4)).prop_map(Option::unwrap_or_default)
}

prop_compose! {
    fn mount()(
        destination in one(&["/a", "/a/b", "/c/", "/", "rel", "/new", "-/a", "-/a/b", "-/c/"]),
        r#type in one(&["bind", ""]),
        source in one(&["/", "/proc", "/none"]),
        options in prop_oneof![
            4 => Just(Vec::new()), 1 => vec(one(&["ro", "rslave", "rshared", "rprivate", "shared"]), 1..3),
        ],
    ) -> Mount {
        Mount { destination, r#type, source, options }
    }
}

prop_compose! {
    fn hook()(path in one(&["/h", "/i"]), args in vec(word(), 0..2), timeout in some(any::<i32>())) -> Hook {
        Hook { path, env: args.clone(), args, timeout: timeout.map(|n| i64::from(n).into()) }
    }
}

prop_compose! {
    fn hooks()(first in few(hook()), second in few(hook()), third in few(hook())) -> Hooks {
        Hooks {
            prestart: first.clone(), create_runtime: second.clone(), create_container: third.clone(),
            start_container: first, poststart: second, poststop: third,
        }
    }
}

prop_compose! {
    fn device()(
        path in one(&["/dev/a", "/dev/b", "/dev/n", "-/dev/a"]),
        r#type in one(&["b", "b", "b", "c", "u", "p"]),
        (major, minor) in (0..3i64, 0..3i64),
        mode in of(0..0o1000u32),
        owner in of(any::<u32>()),
    ) -> LinuxDevice {
        LinuxDevice {
            path, r#type, major, minor,
            file_mode: mode.map(Into::into), uid: owner.map(Into::into), gid: owner.map(Into::into),
        }
    }
}

prop_compose! {
    fn rule()(allow in any::<bool>(), kind in one(&["b", "c", "a"]), major in of(0..3i64), access in one(&["r", "rwm"]))
        -> LinuxDeviceCgroup {
        LinuxDeviceCgroup { allow, r#type: kind, major: major.map(Into::into), minor: Some(1.into()), access }
    }
}

prop_compose! {
    fn memory()(
        limit in some(prop_oneof![Just(0i64), any::<i64>()]),
        others in vec(weighted(0.05, any::<i64>()), 4),
        swappiness in weighted(0.05, any::<u64>()),
        flags in weighted(0.05, any::<bool>()),
    ) -> LinuxMemory {
        let other = |i: usize| others.get(i).copied().flatten().map(Into::into);
        LinuxMemory {
            limit: limit.map(Into::into), reservation: other(0), swap: other(1), kernel: other(2),
            kernel_tcp: other(3), swappiness: swappiness.map(Into::into),
            disable_oom_killer: flags.map(Into::into), use_hierarchy: flags.map(Into::into),
        }
    }
}

prop_compose! {
    fn resources()(
        memory in memory(),
        (shares, quota, period) in (some(any::<u64>()), some(any::<i64>()), some(any::<u64>())),
        (runtime, rt_period, cpus) in (some(any::<i64>()), some(any::<u64>()), one(&["", "0-3"])),
        pages in few((one(&["2MB", "1GB"]), any::<u64>())),
        unified in texts(),
        devices in few(rule()),
        pids in some(prop_oneof![Just(-1i64), 0..9i64]),
        (blockio, rdt) in (some(one(&["", "gold", "lead"])), some(one(&["", "gold", "lead"]))),
    ) -> LinuxResources {
        LinuxResources {
            memory: Some(memory),
            cpu: Some(LinuxCpu {
                shares: shares.map(Into::into), quota: quota.map(Into::into), period: period.map(Into::into),
                realtime_runtime: runtime.map(Into::into), realtime_period: rt_period.map(Into::into),
                mems: cpus.clone(), cpus,
            }),
            hugepage_limits: pages.into_iter().map(|(page_size, limit)| HugepageLimit { page_size, limit }).collect(),
            blockio_class: blockio.map(Into::into),
            rdt_class: rdt.map(Into::into),
            unified,
            devices,
            pids: pids.map(|limit| LinuxPids { limit }),
        }
    }
}

prop_compose! {
    fn seccomp()(
        action in one(&["SCMP_ACT_ALLOW", "SCMP_ACT_NEW"]),
        errno in some(any::<u32>()),
        lists in vec(words(), 2),
        listener in word(),
        rules in vec((words(), of(any::<u32>()), vec((any::<u32>(), any::<u64>(), 0..3u64), 0..2)), 0..3),
    ) -> LinuxSeccomp {
        let list = |i: usize| lists.get(i).cloned().unwrap_or_default();
        LinuxSeccomp {
            default_action: action.clone(), default_errno: errno.map(Into::into),
            architectures: list(0), flags: list(1), listener_path: listener.clone(), listener_metadata: listener,
            syscalls: rules.into_iter().map(|(names, errno, args)| LinuxSyscall {
                names, action: action.clone(), errno_ret: errno.map(Into::into),
                args: args.into_iter().map(|(index, value, value_two)| LinuxSeccompArg {
                    index, value, value_two, op: "SCMP_CMP_EQ".to_owned(),
                }).collect(),
            }).collect(),
        }
    }
}

prop_compose! {
    fn linux()(
        devices in few(device()),
        resources in resources(),
        cgroups_path in one(&["", "", "/new"]),
        score in some(-1000..1000i64),
        io in some((prop_oneof![9 => 0..4, 1 => Just(9)], 0..8)),
        seccomp_policy in some(seccomp()),
        namespaces in few((one(&["pid", "pid", "user", "uts", "-pid", "-uts", "time", "moon"]), one(&["", "/p"]))),
        (sysctl, nets) in (texts(), btree_map(key(), word(), 0..3)),
        scheduler in some((prop_oneof![9 => 0..8, 1 => Just(9)], any::<i32>(), vec(0..7i32, 0..3), any::<u64>())),
        rdt in some((some(one(&["", "c"])), some(words()), some(any::<bool>()), any::<bool>())),
        policy in some((prop_oneof![9 => 0..7, 1 => Just(9)], word(), vec(0..3i32, 0..3))),
    ) -> LinuxContainerAdjustment {
        LinuxContainerAdjustment {
            devices,
            resources: Some(resources),
            cgroups_path,
            oom_score_adj: score.map(Into::into),
            io_priority: io.map(|(class, priority)| LinuxIoPriority { class, priority }),
            seccomp_policy,
            namespaces: namespaces.into_iter().map(|(r#type, path)| LinuxNamespace { r#type, path }).collect(),
            sysctl,
            net_devices: nets.into_iter().map(|(key, name)| (key, LinuxNetDevice { name })).collect(),
            scheduler: scheduler.map(|(policy, nice, flags, runtime)| LinuxScheduler {
                policy, nice, priority: nice, flags, runtime, deadline: runtime, period: runtime,
            }),
            rdt: rdt.map(|(clos, schemata, monitoring, remove)| LinuxRdt {
                clos_id: clos.map(Into::into), schemata: schemata.map(Into::into),
                enable_monitoring: monitoring.map(Into::into), remove,
            }),
            memory_policy: policy.map(|(mode, nodes, flags)| LinuxMemoryPolicy { mode, nodes, flags }),
        }
    }
}

prop_compose! {
    fn adjustment()(
        annotations in texts(),
        mounts in few(mount()),
        env in few((prop_oneof![30 => key(), 1 => one(&["", "a=b"])], word())),
        hooks in hooks(),
        linux in linux(),
        rlimits in few((one(&["RLIMIT_CORE", "RLIMIT_NOFILE", "RLIMIT_NEW"]), any::<u64>())),
        args in words(),
    ) -> ContainerAdjustment {
        ContainerAdjustment {
            annotations, mounts, args,
            env: env.into_iter().map(|(key, value)| KeyValue { key, value }).collect(),
            hooks: Some(hooks),
            linux: Some(linux),
            rlimits: rlimits.into_iter().map(|(r#type, soft)| PosixRlimit { r#type, hard: u64::MAX, soft }).collect(),
            cdi_devices: Vec::new(),
        }
    }
}

prop_compose! {
    fn process()(
        env in vec(prop_oneof![20 => one(&["a=1", "b=2", "c=", "d=4=4"]), 1 => one(&["plain", "=x"])], 0..4),
        limits in few(one(&["RLIMIT_CORE", "RLIMIT_NOFILE"])),
        has in of(0..3),
    ) -> Value {
        let limits: Vec<Value> = limits.iter().map(|kind| json!({"type": kind, "hard": 1, "soft": 1})).collect();
        let mut process = json!({"cwd": "/", "args": ["sh"], "env": env, "rlimits": limits, "noNewPrivileges": true});
        if has.is_some() {
            process["scheduler"] = json!({"policy": "SCHED_RR", "priority": 1});
            process["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 1});
            process["oomScoreAdj"] = json!(has);
        }
        process
    }
}

prop_compose! {
    fn linux_section()(
        devices in vec(one(&["/dev/a", "/dev/b", "/dev/c"]), 0..3),
        rules in vec(rule(), 0..3),
        pages in vec(one(&["2MB", "1GB"]), 0..3),
        spaces in vec(one(&["pid", "uts", "mount"]), 0..3),
        has in vec(any::<bool>(), 3),
        root in one(&["", "rslave", "private"]),
    ) -> Value {
        let rules: Vec<Value> = rules.iter().map(|rule| json!({
            "allow": rule.allow, "type": rule.r#type, "access": rule.access,
            "major": rule.major.as_ref().map(|n| n.value), "minor": 1,
        })).collect();
        let mut linux = json!({
            "rootfsPropagation": root,
            "maskedPaths": ["/proc/kcore"],
            "namespaces": spaces.iter().map(|kind| json!({"type": kind, "path": "/old"})).collect::<Vec<_>>(),
            "devices": devices.iter().map(|path| json!({"path": path, "type": "c", "major": 9, "minor": 9}))
                .collect::<Vec<_>>(),
        });
        if has[0] {
            linux["resources"] = json!({
                "devices": rules,
                "memory": {"limit": 1, "swap": 2, "reservation": 3},
                "cpu": {"shares": 1, "cpus": "7"},
                "pids": {"limit": 5},
                "blockIO": {"weight": 1},
                "unified": {"a": "1", "z": "2"},
                "hugepageLimits": pages.iter().map(|size| json!({"pageSize": size, "limit": 1})).collect::<Vec<_>>(),
            });
        }
        if has[1] {
            linux["intelRdt"] = json!({"closID": "old", "l3CacheSchema": "L3:0=1"});
            linux["sysctl"] = json!({"a": "1", "z": "2"});
        }
        if has[2] {
            linux["netDevices"] = json!({"a": {"name": "x"}, "z": {}});
            linux["seccomp"] = json!({"defaultAction": "SCMP_ACT_LOG"});
            linux["memoryPolicy"] = json!({"mode": "MPOL_LOCAL", "nodes": ""});
        }
        linux
    }
}

prop_compose! {
    fn spec()(
        process in weighted(0.9, process()),
        linux in weighted(0.9, linux_section()),
        mounts in vec(one(&["/a", "/a/b", "/c/", "/z", "rel"]), 0..4),
        annotations in of(btree_map(one(&["a", "z"]), word(), 0..3)),
        hooks in of(hook()),
    ) -> Value {
        let mut spec = Map::from_iter([("ociVersion".to_owned(), json!("1.3.0"))]);
        let hooks = hooks.map(|hook| {
            let hook = json!({"path": hook.path, "args": hook.args, "env": hook.env});
            json!({"poststop": [hook], "prestart": [hook, hook]})
        });
        let mounts: Vec<Value> = mounts.iter().enumerate()
            .map(|(at, to)| json!({"destination": to, "source": at.to_string(), "options": ["ro"]})).collect();
        let parts = [
            ("process", process), ("linux", linux), ("annotations", annotations.map(|map| json!(map))),
            ("hooks", hooks), ("mounts", Some(mounts.into())), ("hostname", Some(json!("h"))),
        ];
        spec.extend(parts.into_iter().filter_map(|(name, part)| Some((name.to_owned(), part?))));
        Value::Object(spec)
    }
}
