//! CONF-139 to 179: adjustments of one plugin and of two.

use serde_json::{Value as Json, json};

use super::Case;

/// An adjustment of one kind, as the plugin named in it gives it.
type Kind = fn(&str) -> Json;

pub(super) fn cases() -> Vec<Case> {
    [one(), two(), overrides(), accumulated()].concat()
}

/// CONF-139 to 161: the reply holds what the plugin gave.
fn one() -> Vec<Case> {
    let gives: [(&str, Kind); 22] = [
        ("CONF-139", |p| json!({"annotations": {"key": p}})),
        ("CONF-140", mount),
        ("CONF-141", |_| json!({"mounts": [{"destination": "-/original"}]})),
        ("CONF-142", env),
        ("CONF-143", args),
        ("CONF-144", hook),
        ("CONF-145", device),
        ("CONF-146", |_| json!({"linux": {"namespaces": [{"type": "cgroup", "path": "/other"}]}})),
        ("CONF-147", |_| json!({"rlimits": [{"type": "RLIMIT_NOFILE", "soft": "123", "hard": "456"}]})),
        ("CONF-148", |_| json!({"CDIDevices": [{"name": "vendor0.com/dev=dev1"}]})),
        ("CONF-149", io_priority),
        ("CONF-150", net_device),
        ("CONF-151", scheduler),
        ("CONF-152", |_| json!({"linux": {"sysctl": {"net.ipv4.ip_forward": "1"}}})),
        (
            "CONF-153",
            |_| json!({"linux": {"memoryPolicy": {"mode": "MPOL_INTERLEAVE", "nodes": "0,1", "flags": ["MPOL_F_STATIC_NODES"]}}}),
        ),
        ("CONF-154", |_| resources(&cpu())),
        ("CONF-155", |_| resources(&memory())),
        ("CONF-156", |_| resources(&classes())),
        ("CONF-157", |_| resources(&hugepages())),
        ("CONF-158", |_| resources(&unified())),
        ("CONF-159", |_| json!({"linux": {"cgroupsPath": "/00-test"}})),
        (
            "CONF-160",
            |_| json!({"linux": {"seccompPolicy": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}}}),
        ),
    ];
    let mut cases: Vec<_> = gives
        .iter()
        .map(|(id, kind)| {
            let adjust = kind("00-test");
            Case::create(*id, &[("00-test", json!({"adjust": adjust}))], json!({"adjust": adjust}))
        })
        .collect();
    let adjust = rdt("00-test");
    cases.push(Case::create(
        "CONF-161",
        &[("00-test", json!({"adjust": adjust}))],
        json!({"adjust": adjust, "owners": {"owners": {"ctr1": {
            "simple": {"37": "00-test", "38": "00-test", "39": "00-test"}}}}}),
    ));
    cases
}

/// Both plugins set the same: a conflict, named by field and key.
fn two() -> Vec<Case> {
    let conflicts: [(&str, Kind, &str); 10] = [
        ("CONF-162", |p| json!({"annotations": {"key": p}}), "Annotations key"),
        ("CONF-164", mount, "Mounts /mnt/test"),
        ("CONF-166", env, "Env key"),
        ("CONF-168", args, "Args"),
        ("CONF-171", device, "Devices /dev/test"),
        ("CONF-173", |_| resources(&classes()), "BlockioClass"),
        ("CONF-174", io_priority, "IoPriority"),
        ("CONF-176", net_device, "LinuxNetDevices eth1"),
        ("CONF-177", scheduler, "LinuxSched"),
        ("CONF-178", rdt, "RdtClosID"),
    ];
    conflicts
        .iter()
        .map(|(id, kind, what)| {
            let answers = [
                ("00-bar", json!({"adjust": kind("00-bar")})),
                ("10-foo", json!({"adjust": kind("10-foo")})),
            ];
            let error = format!(r#"plugins "10-foo" and "00-bar" both tried to set {what}"#);
            Case::create(*id, &answers, json!({"error": error}))
        })
        .collect()
}

/// The second plugin removes the key first.
fn overrides() -> Vec<Case> {
    let case = |id: &str, first: Json, second: Json, expect: Json| {
        let answers = [("00-bar", json!({"adjust": first})), ("10-foo", json!({"adjust": second}))];
        Case::create(id, &answers, json!({"adjust": expect}))
    };
    let with = |mut adjust: Json, list: &str, mark: Json| {
        let pointer = adjust.pointer_mut(list).and_then(Json::as_array_mut);
        if let Some(list) = pointer {
            list.insert(0, mark);
        }
        adjust
    };
    let both = json!({"annotations": {"-key": "", "key": "10-foo"}});
    let nets = json!({"linux": {"netDevices": {"-eth1": {}, "eth1": {"name": "10-foo"}}}});
    let mut rdt_override = rdt("10-foo");
    rdt_override["linux"]["rdt"]["remove"] = true.into();
    vec![
        case("CONF-163", json!({"annotations": {"key": "00-bar"}}), both.clone(), both),
        case(
            "CONF-165",
            mount("00-bar"),
            with(mount("10-foo"), "/mounts", json!({"destination": "-/mnt/test"})),
            mount("10-foo"),
        ),
        case("CONF-167", env("00-bar"), with(env("10-foo"), "/env", json!({"key": "-key"})), env("10-foo")),
        case(
            "CONF-172",
            device("00-bar"),
            with(device("10-foo"), "/linux/devices", json!({"path": "-/dev/test"})),
            device("10-foo"),
        ),
        case("CONF-175", net_device("00-bar"), nets.clone(), nets),
        case("CONF-179", rdt("00-bar"), rdt_override, rdt("10-foo")),
    ]
}

/// What adds up: hooks, and a command line that is updated as it was shown.
fn accumulated() -> Vec<Case> {
    let line = |words: &[&str]| json!({"adjust": {"args": words}});
    vec![
        Case::create(
            "CONF-169",
            &[("00-bar", line(&["00-bar", "arg"])), ("10-foo", line(&["", "00-bar", "arg", "twice"]))],
            json!({"adjust": {"args": ["00-bar", "arg", "twice"]},
                   "owners": {"owners": {"ctr1": {"simple": {"7": "10-foo"}}}}}),
        ),
        Case::create(
            "CONF-170",
            &[("00-bar", json!({"adjust": hook("00-bar")})), ("10-foo", json!({"adjust": hook("10-foo")}))],
            json!({"adjust": {"hooks": {"prestart": [{"path": "/bin/00-bar"}, {"path": "/bin/10-foo"}]}},
                   "owners": {"owners": {"ctr1": {"simple": {"3": "00-bar,10-foo"}}}}}),
        ),
    ]
}

fn mount(plugin: &str) -> Json {
    json!({"mounts": [{"destination": "/mnt/test", "type": "bind", "source": format!("/{plugin}"), "options": ["bind", "ro"]}]})
}

fn env(plugin: &str) -> Json {
    json!({"env": [{"key": "key", "value": plugin}]})
}

fn args(plugin: &str) -> Json {
    json!({"args": [plugin, "updated", "argument", "list"]})
}

fn hook(plugin: &str) -> Json {
    json!({"hooks": {"prestart": [{"path": format!("/bin/{plugin}")}]}})
}

fn device(plugin: &str) -> Json {
    let minor = if plugin == "10-foo" { "2" } else { "1" };
    json!({"linux": {"devices": [{"path": "/dev/test", "type": "c", "major": "313", "minor": minor}]}})
}

fn io_priority(_: &str) -> Json {
    json!({"linux": {"ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": 5}}})
}

fn net_device(plugin: &str) -> Json {
    json!({"linux": {"netDevices": {"eth1": {"name": plugin}}}})
}

fn scheduler(_: &str) -> Json {
    json!({"linux": {"scheduler": {"policy": "SCHED_FIFO", "priority": 10, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}}})
}

fn rdt(plugin: &str) -> Json {
    json!({"linux": {"rdt": {
        "closId": {"value": plugin}, "schemata": {"value": ["L3:0=ff", "MB:0=50"]}, "enableMonitoring": {"value": true}}}})
}

fn resources(resources: &Json) -> Json {
    json!({"linux": {"resources": resources}})
}

/// All CPU values.
pub(super) fn cpu() -> Json {
    json!({"cpu": {
        "shares": {"value": "123"}, "quota": {"value": "456"}, "period": {"value": "789"},
        "realtimeRuntime": {"value": "321"}, "realtimePeriod": {"value": "654"}, "cpus": "0-1", "mems": "2-3"}})
}

/// All memory values.
pub(super) fn memory() -> Json {
    json!({"memory": {
        "limit": {"value": "1234000"}, "reservation": {"value": "4000"}, "swap": {"value": "34000"},
        "kernel": {"value": "30000"}, "kernelTcp": {"value": "2000"}, "swappiness": {"value": "987"},
        "disableOomKiller": {"value": true}, "useHierarchy": {"value": true}}})
}

/// RDT and block I/O class.
pub(super) fn classes() -> Json {
    json!({"rdtClass": {"value": "gold"}, "blockioClass": {"value": "low"}})
}

/// Two limits of huge pages.
pub(super) fn hugepages() -> Json {
    json!({"hugepageLimits": [{"pageSize": "1M", "limit": "4096"}, {"pageSize": "4M", "limit": "1024"}]})
}

/// Two unified parameters.
pub(super) fn unified() -> Json {
    json!({"unified": {"resource.1": "value1", "resource.2": "value2"}})
}
