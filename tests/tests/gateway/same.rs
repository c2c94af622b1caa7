//! The same pod at the engine itself and behind the gateway: containers come out the same, and plugins see the same.

use std::collections::BTreeMap;

use nri_tests::engine::Line;
use nri_tests::plugin::{Maker, sequence};
use nri_tests::skipped;
use serde_json::{Value as Json, json};

use crate::kit::{Node, Place, Settings, cgroup};

/// All that can be seen of one run: by name, as text or JSON, without what differs between any two runs (ids).
#[derive(Default)]
struct Seen {
    /// Of each container: the members of the runtime's configuration that plugins can change.
    specs: BTreeMap<String, Json>,
    /// What commands inside print, and what the kernel has.
    facts: BTreeMap<String, String>,
    /// Of each plugin: what happened to whom, in order.
    events: BTreeMap<String, Vec<String>>,
}

/// CONF-134 and the cases of adjustment and update that a container can show (CONF-139, 140, 142, 147, 209), a launched
/// and a connected plugin, one by the reference's stub and one by ours, in both roles.
#[test]
fn containers_and_events_are_the_same_on_2_3() {
    check(Line::V2_3);
}

#[test]
fn containers_and_events_are_the_same_on_2_2() {
    check(Line::V2_2);
}

fn check(line: Line) {
    for (launched, connected) in [(Maker::Go, Maker::Ours), (Maker::Ours, Maker::Go)] {
        let run = |place| run(place, line, launched, connected);
        let (direct, behind) = match (run(Place::Direct), run(Place::Behind)) {
            (Ok(direct), Ok(behind)) => (direct, behind),
            (Err(what), _) | (_, Err(what)) => return skipped(&what),
        };
        let differences = direct.differences(&behind);
        assert!(differences.is_empty(), "{launched:?} launched:\n{}", differences.join("\n"));
    }
}

impl Seen {
    fn differences(&self, other: &Self) -> Vec<String> {
        let (mine, theirs) = (self.lines(), other.lines());
        let only = |sign: &str, a: &[String], b: &[String]| -> Vec<String> {
            a.iter().filter(|line| !b.contains(line)).map(|line| format!("{sign} {line}")).collect()
        };
        let mut found = only("-", &mine, &theirs);
        found.extend(only("+", &theirs, &mine));
        if found.is_empty() && mine != theirs {
            found.push("the same lines in another order".to_owned());
        }
        found
    }

    /// Everything, each line with its place.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, spec) in &self.specs {
            leaves(name, spec, &mut lines);
        }
        for (name, fact) in &self.facts {
            lines.extend(fact.lines().map(|line| format!("{name}: {line}")));
        }
        for (name, events) in &self.events {
            lines.extend(events.iter().enumerate().map(|(n, event)| format!("{name} {n}: {event}")));
        }
        lines
    }
}

fn leaves(place: &str, value: &Json, into: &mut Vec<String>) {
    match value {
        Json::Object(members) => {
            members.iter().for_each(|(key, value)| leaves(&format!("{place}.{key}"), value, into));
        }
        Json::Array(list) => {
            list.iter().enumerate().for_each(|(n, value)| leaves(&format!("{place}.{n}"), value, into));
        }
        leaf => into.push(format!("{place}: {leaf}")),
    }
}

fn first() -> Json {
    json!({"answers": {
        "CreateContainer": [{"for": "web", "adjust": {
            "env": [{"key": "FIRST", "value": "web"}],
            "annotations": {"first": "web"},
            "mounts": [{"destination": "/first", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]}],
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 512, "soft": 256}],
            "linux": {"resources": {"cpu": {"shares": {"value": 512}}, "memory": {"limit": {"value": 67_108_864}}}}
        }}, {"for": "db", "adjust": {"env": [{"key": "FIRST", "value": "db"}]}}]
    }})
}

fn second() -> Json {
    json!({"answers": {
        "CreateContainer": [{"for": "web", "adjust": {
            "env": [{"key": "SECOND", "value": "web"}],
            "hooks": {"createRuntime": [{"path": "/bin/true", "args": ["true"]}]},
            "linux": {"resources": {"cpu": {"cpus": "0"}, "pids": {"limit": 99}}}
        }}, {"for": "db", "adjust": {
            "args": ["sleep", "1001"],
            "linux": {
                "oomScoreAdj": {"value": 321},
                "resources": {"cpu": {"shares": {"value": 300}}},
                "seccompPolicy": {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}
            }
        }}],
        "UpdateContainer": [{"for": "web", "update": []}]
    }})
}

fn run(place: Place, line: Line, launched: Maker, connected: Maker) -> Result<Seen, String> {
    let settings = Settings { line, launched: vec![(launched, "10-first", first())], ..Settings::default() };
    let mut node = Node::start(place, &settings)?;
    node.until_launched("10-first", "Synchronize", 1);
    let plugin = node.connect(connected, "20-second", &second());
    let mut seen = Seen::default();

    let pod = node.pod("shop");
    let mut ids = Vec::new();
    for name in ["web", "db"] {
        let id = node.container(&pod, name);
        let mut fact = |what: &str, text: String| {
            seen.facts.insert(format!("{name} {what}"), text.replace(&id, "ID").replace(&pod, "POD"));
        };
        let spec = node.cri.spec(&id)?;
        for command in [
            "env",
            "cat /proc/1/cmdline",
            "cat /proc/1/mounts",
            "cat /proc/1/limits",
            "cat /proc/1/oom_score_adj",
            "mkdir /tmp/made",
            "grep Seccomp: /proc/self/status",
        ] {
            let (output, code) = node.cri.exec(&id, &command.split(' ').collect::<Vec<_>>())?;
            // Overlay mounts number their layers.
            let lines = output.lines().filter(|line| !line.starts_with("overlay "));
            fact(command, format!("{}\nexit {code}", lines.collect::<Vec<_>>().join("\n")));
        }
        fact("shares", cgroup(&spec, "cpu", "cpu.shares"));
        node.cri.update(&id, &json!({"cpu_shares": "700"}))?;
        fact("shares after an update", cgroup(&spec, "cpu", "cpu.shares"));
        fact("pids", cgroup(&spec, "pids", "pids.max"));
        fact("memory", cgroup(&spec, "memory", "memory.limit_in_bytes"));
        fact("cpus", cgroup(&spec, "cpuset", "cpuset.cpus"));
        let parts = ["process", "mounts", "hooks", "annotations", "linux"];
        let mut spec: Json = parts.iter().map(|part| ((*part).to_owned(), spec[*part].clone())).collect();
        for namespace in spec["linux"]["namespaces"].as_array_mut().into_iter().flatten() {
            // `/proc/PID/ns/ipc`, of the pod's first process.
            namespace["path"] =
                namespace["path"].as_str().and_then(|path| path.split('/').next_back()).into();
        }
        let text = spec.to_string().replace(&id, "ID").replace(&pod, "POD");
        let folder = node.engine.cri_socket().parent().unwrap().display().to_string();
        seen.specs.insert(name.to_owned(), serde_json::from_str(&text.replace(&folder, "ENGINE")).unwrap());
        ids.push(id);
    }
    for id in &ids {
        node.cri.container("stop", id)?;
        node.cri.container("rm", id)?;
    }
    node.cri.remove_pod(&pod)?;
    plugin.until("RemovePodSandbox");
    node.until_launched("10-first", "RemovePodSandbox", 1);
    seen.events.insert("first".to_owned(), sequence(&node.launched("10-first")));
    seen.events.insert("second".to_owned(), sequence(&plugin.lines()));
    Ok(seen)
}
