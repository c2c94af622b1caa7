//! The same pod at the engine itself and behind the gateway: containers come out the same, and plugins see the same.

use std::collections::BTreeMap;

use nri_tests::engine::Line;
use nri_tests::plugin::{Maker, is_own, sequence};
use nri_tests::skipped;
use serde_json::{Value as Json, json};

use crate::kit::{Node, Place, Settings, cgroup, until};

/// All that can be seen of one run: by name, as text or JSON, without what differs between any two runs (ids).
#[derive(Default)]
struct Seen {
    /// Of each container: the members of the runtime's configuration that plugins can change.
    specs: BTreeMap<String, Json>,
    /// What commands inside print, and what the kernel has.
    facts: BTreeMap<String, String>,
    /// Of each plugin: what happened to whom, in order.
    events: BTreeMap<String, Vec<String>>,
    /// Of each plugin: what it was told with that, whole.
    told: BTreeMap<String, Json>,
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
        let (ours, go) = if launched == Maker::Ours { ("first", "second") } else { ("second", "first") };
        check_introduction(line, &behind, ours, go);
        for event in EVENTS {
            let expected = line == Line::V2_3 || !event.contains("UpdatePod");
            let seen = behind.events["second"].iter().any(|seen| seen.split(' ').next() == Some(event));
            assert_eq!(seen, expected, "{line:?}: {event}");
        }
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
        for (name, told) in &self.told {
            leaves(name, told, &mut lines);
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
            // Members come in any order.
            let members: BTreeMap<_, _> = members.iter().collect();
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
        }}]
    }})
}

/// CONF-117 to CONF-134: a full cycle has them all.
const EVENTS: [&str; 14] = [
    "RunPodSandbox",
    "UpdatePodSandbox",
    "PostUpdatePodSandbox",
    "CreateContainer",
    "ValidateContainerAdjustment",
    "PostCreateContainer",
    "StartContainer",
    "PostStartContainer",
    "UpdateContainer",
    "PostUpdateContainer",
    "StopContainer",
    "RemoveContainer",
    "StopPodSandbox",
    "RemovePodSandbox",
];

/// The engine's time-outs, other than the default ones, so that it shows who has told them (CONF-228).
const TIMEOUTS: &str = "plugin_registration_timeout = \"7s\"\nplugin_request_timeout = \"3s\"";

/// Of a plugin with the events before NRI 0.12.
fn third() -> Json {
    json!({"answers": {"CreateContainer": [{"adjust": {"env": [{"key": "THIRD", "value": "1"}]}}]}})
}

fn run(place: Place, line: Line, launched: Maker, connected: Maker) -> Result<Seen, String> {
    let settings = Settings {
        line,
        nri: TIMEOUTS.to_owned(),
        launched: vec![(launched, "10-first", first())],
        args: vec![],
    };
    let mut node = Node::start(place, &settings)?;
    node.until_launched("10-first", "Synchronize", 1);
    let plugin = node.connect(connected, "20-second", &second());
    let old = node.connect(Maker::GoOld, "30-third", &third());
    let mut seen = Seen::default();
    let mut names = Names::new(&node);

    let pod = node.pod("shop");
    names.add(&pod, "POD");
    let mut ids = Vec::new();
    for name in ["web", "db"] {
        let id = node.container(&pod, name);
        names.add(&id, name);
        let spec = node.cri.spec(&id).unwrap();
        facts(&mut node, &id, &spec, |what, text| {
            seen.facts.insert(format!("{name} {what}"), names.plain(text));
        });
        let parts = ["process", "mounts", "hooks", "annotations", "linux"];
        let spec: Json = parts.iter().map(|part| ((*part).to_owned(), spec[*part].clone())).collect();
        seen.specs.insert(name.to_owned(), names.message(&spec));
        ids.push(id);
    }
    if line == Line::V2_3 {
        // 2.2 answers «not implemented» to this call of CRI.
        let resources = json!({"cpu_shares": "1024", "memory_limit_in_bytes": "134217728"});
        node.cri.ask(&json!({"do": "updatepod", "pod": pod, "resources": resources})).unwrap();
    }
    for id in &ids {
        node.cri.container("stop", id).unwrap();
        node.cri.container("rm", id).unwrap();
    }
    node.cri.remove_pod(&pod).unwrap();
    plugin.until("RemovePodSandbox");
    until("the old plugin has seen the end", || {
        sequence(&old.lines()).iter().any(|event| event == "REMOVE_POD_SANDBOX shop")
    });
    node.until_launched("10-first", "RemovePodSandbox", 1);
    let all = [("first", node.launched("10-first")), ("second", plugin.lines()), ("third", old.lines())];
    for (name, lines) in all {
        seen.events.insert(name.to_owned(), sequence(&lines));
        // In order, but for what belongs to the connection.
        let (own, of_pods): (Vec<_>, Vec<_>) = lines.iter().partition(|line| is_own(line));
        for line in own {
            let event = line["event"].as_str().unwrap_or_default();
            seen.told.insert(format!("{name} {event}"), names.message(line));
        }
        for (n, line) in of_pods.into_iter().enumerate() {
            seen.told.insert(format!("{name} {n:02}"), names.message(line));
        }
    }
    Ok(seen)
}

/// What commands in a container print, and what the kernel has, before and after an update by the client.
fn facts(node: &mut Node, id: &str, spec: &Json, mut fact: impl FnMut(&str, &str)) {
    for command in [
        "env",
        "cat /proc/1/cmdline",
        "cat /proc/1/mounts",
        "cat /proc/1/limits",
        "cat /proc/1/oom_score_adj",
        "mkdir /tmp/made",
        "grep Seccomp: /proc/self/status",
    ] {
        let (output, code) = node.cri.exec(id, &command.split(' ').collect::<Vec<_>>()).unwrap();
        // Overlay mounts number their layers.
        let lines: Vec<_> = output.lines().filter(|line| !line.starts_with("overlay ")).collect();
        fact(command, &format!("{}\nexit {code}", lines.join("\n")));
    }
    fact("shares", &cgroup(spec, "cpu", "cpu.shares"));
    node.cri.update(id, &json!({"cpu_shares": "700"})).unwrap();
    fact("shares after an update", &cgroup(spec, "cpu", "cpu.shares"));
    fact("pids", &cgroup(spec, "pids", "pids.max"));
    fact("memory", &cgroup(spec, "memory", "memory.limit_in_bytes"));
    fact("cpus", &cgroup(spec, "cpuset", "cpuset.cpus"));
}

/// What differs between any two runs, and a name for each.
struct Names(Vec<(String, String)>);

impl Names {
    fn new(node: &Node) -> Self {
        let engine = node.engine.cri_socket().parent().unwrap().display().to_string();
        let own = node.folder.path().display().to_string();
        Self(vec![(engine, "ENGINE".to_owned()), (own, "OWN".to_owned())])
    }

    fn add(&mut self, id: &str, name: &str) {
        self.0.push((id.to_owned(), name.to_owned()));
    }

    fn plain(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (id, name)| text.replace(id, name))
    }

    /// A message without times, process ids, and the call that it came by: from 2.2 the gateway gets `StateChange`, and
    /// plugins get the call for the event if they know it, as from newer engines.
    fn message(&self, message: &Json) -> Json {
        match message {
            Json::Object(members) => {
                let varies = ["at", "timeout_ms", "method", "pid", "createdAt", "startedAt", "finishedAt"];
                let kept = members.iter().filter(|(key, _)| !varies.contains(&key.as_str()));
                kept.map(|(key, value)| (self.plain(key), self.message(value))).collect()
            }
            Json::Array(list) => list.iter().map(|item| self.message(item)).collect(),
            // Namespaces of a pod's first process: `/proc/PID/ns/ipc`.
            Json::String(path) if path.starts_with("/proc/") => path.split('/').next_back().into(),
            Json::String(text) => self.plain(text).into(),
            leaf => leaf.clone(),
        }
    }
}

/// The engine told who it is, and its time-outs (CONF-226, 227, 228, 229).
fn check_introduction(line: Line, seen: &Seen, ours: &str, go: &str) {
    let configure = &seen.told[&format!("{ours} Configure")];
    assert_eq!(configure["runtime"], "containerd");
    assert_eq!(configure["nri_version"], line.says_nri());
    assert_eq!(configure["registration_timeout_ms"], 7000);
    assert_eq!(configure["request_timeout_ms"], 3000);
    let started = &seen.told[&format!("{go} started")];
    assert_eq!(started["registration_timeout_ms"], 7000);
    assert_eq!(started["request_timeout_ms"], 3000);
}
