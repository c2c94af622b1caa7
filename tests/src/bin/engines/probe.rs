//! The plugin behind the gateway: what it changes, and what of it arrives in the OCI spec of the container.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nri_tests::gateway::{self, Gateway};
use nri_tests::plugin::{Maker, Plugin};
use serde_json::{Value, json};

use crate::pod::CLIENTS;
use crate::report::Report;
use crate::{Engine, Failure};

const NAME: &str = "10-probe";

/// One change of the plugin's, and whether an OCI spec has it.
struct Probe {
    field: &'static str,
    applied: fn(&Value) -> bool,
}

const PROBES: &[Probe] = &[
    Probe { field: "env", applied: |spec| lists(spec, "/process/env", "PROBE=1") },
    Probe { field: "env, a removal", applied: |spec| !lists(spec, "/process/env", &format!("{CLIENTS}=1")) },
    Probe { field: "mounts", applied: |spec| has(spec, "/mounts", "destination", "/probe") },
    Probe {
        field: "annotations",
        applied: |spec| spec.pointer("/annotations/example.com~1probe") == Some(&json!("1")),
    },
    Probe { field: "hooks", applied: |spec| has(spec, "/hooks/createRuntime", "path", "/bin/true") },
    Probe { field: "rlimits", applied: |spec| has(spec, "/process/rlimits", "type", "RLIMIT_CORE") },
    Probe { field: "memory limit", applied: |spec| number(spec, "/linux/resources/memory/limit", 128 << 20) },
    Probe { field: "cpu shares", applied: |spec| number(spec, "/linux/resources/cpu/shares", 512) },
    Probe { field: "oom score", applied: |spec| number(spec, "/process/oomScoreAdj", 900) },
    Probe { field: "devices", applied: |spec| has(spec, "/linux/devices", "path", "/dev/probe") },
];

/// What every engine takes: Docker 29 refuses a creation with anything else, and a mount with other options.
fn least() -> Value {
    json!({
        "env": [{"key": "PROBE", "value": "1"}, {"key": format!("-{CLIENTS}")}],
        "mounts": [{"destination": "/probe", "type": "bind", "source": "/usr/share", "options": ["ro"]}],
    })
}

/// All that the plugin answers to CreateContainer.
fn adjustment() -> Value {
    let mut all = least();
    let more = json!({
        "mounts": [{"destination": "/probe", "type": "tmpfs", "source": "tmpfs", "options": ["rw"]}],
        "annotations": {"example.com/probe": "1"},
        "hooks": {"createRuntime": [{"path": "/bin/true", "args": ["true"]}]},
        "rlimits": [{"type": "RLIMIT_CORE", "hard": "0", "soft": "0"}],
        "linux": {
            "resources": {"memory": {"limit": {"value": (128 << 20).to_string()}},
                "cpu": {"shares": {"value": "512"}}},
            "oomScoreAdj": {"value": "900"},
            "devices": [{"path": "/dev/probe", "type": "c", "major": "1", "minor": "3"}],
        },
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    all
}

/// What came of the container.
pub(crate) struct Ran {
    applied: Vec<&'static str>,
    lost: Vec<&'static str>,
}

/// Puts the gateway between engine and plugin, and runs one container. Where the engine refuses what the plugin asks
/// for, another one runs with the least of it.
pub(crate) fn run(name: &str, engine: &mut dyn Engine) -> Result<Report, Failure> {
    let gateway = Gateway::start(&engine.nri_socket(), &gateway::Settings::default());
    let explain = |error: Failure, engine: &dyn Engine| -> Failure {
        format!("{error}\nthe gateway's log:\n{}\nthe engine's:\n{}", gateway.log(), engine.log()).into()
    };
    let mut refused = String::new();
    let (events, ran) = match attempt(engine, &gateway, &adjustment()) {
        Err(error) if error.to_string().contains(UNSUPPORTED) => {
            let text = error.to_string();
            refused = text.split_once(UNSUPPORTED).map_or("", |(_, fields)| fields).to_owned();
            attempt(engine, &gateway, &least()).map_err(|error| explain(error, engine))?
        }
        other => other.map_err(|error| explain(error, engine))?,
    };
    let ready = gateway.wait_until_ready(1);
    let member = |name: &str| {
        let mut words = ready.split_whitespace();
        words.find_map(|word| word.strip_prefix(name)).unwrap_or("unknown").to_owned()
    };
    let log = gateway.log();
    let named: BTreeSet<String> = log.lines().filter_map(named).collect();
    Ok(Report {
        asked: name.to_owned(),
        engine: member("engine="),
        nri: member("nri="),
        events,
        applied: ran.applied,
        lost: ran.lost,
        refused: refused.lines().next().unwrap_or_default().trim_end_matches('.').trim().to_owned(),
        named: named.into_iter().collect(),
    })
}

/// How Docker says that it does not take an adjustment.
const UNSUPPORTED: &str = "unsupported container adjustments:";

/// One container with this adjustment: the events that the plugin got, in the order of the first of each, and what came
/// of it.
fn attempt(
    engine: &mut dyn Engine,
    gateway: &Gateway,
    adjustment: &Value,
) -> Result<(Vec<String>, Ran), Failure> {
    let folder = tempfile::tempdir()?;
    let script = json!({"answers": {"CreateContainer": [{"adjust": adjustment}]}});
    let plugin = Plugin::connect(Maker::Go, &gateway.socket(), NAME, &script, folder.path())?;
    plugin.until("Synchronize");
    let root = engine.folder().to_owned();
    let ran = engine.run(&mut |container| look(&root, container))?;
    let mut events: Vec<String> = Vec::new();
    for event in plugin.lines().iter().filter_map(|line| line.get("event")?.as_str()) {
        if event.starts_with(char::is_uppercase) && !events.iter().any(|seen| seen == event) {
            events.push(event.to_owned());
        }
    }
    Ok((events, ran))
}

/// What a line of the gateway's log says that the engine does not carry out.
fn named(line: &str) -> Option<String> {
    let (before, _) = line.split_once(&format!(" of plugin {NAME}"))?;
    before.rsplit(": ").next().map(str::to_owned)
}

/// Looks for the container's bundle, and into it.
fn look(root: &Path, container: &str) -> Result<Ran, Failure> {
    let config = bundle(root, container).ok_or("its bundle is not to be found")?;
    let spec: Value = serde_json::from_slice(&fs::read(config)?)?;
    let fields = |holds: bool| {
        let fits = PROBES.iter().filter(|probe| (probe.applied)(&spec) == holds);
        fits.map(|probe| probe.field).collect()
    };
    Ok(Ran { applied: fields(true), lost: fields(false) })
}

/// The `config.json` in the folder named after the container, or in one of that one's folders.
fn bundle(root: &Path, container: &str) -> Option<PathBuf> {
    for entry in fs::read_dir(root).ok()?.flatten() {
        let path = entry.path();
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name() == container {
            let inside = [path.join("config.json"), path.join("userdata/config.json")];
            if let Some(config) = inside.into_iter().find(|config| config.is_file()) {
                return Some(config);
            }
        }
        if let Some(config) = bundle(&path, container) {
            return Some(config);
        }
    }
    None
}

fn lists(spec: &Value, at: &str, value: &str) -> bool {
    list(spec, at).iter().any(|item| item == value)
}

fn has(spec: &Value, at: &str, member: &str, value: &str) -> bool {
    list(spec, at).iter().any(|item| item.get(member).is_some_and(|found| found == value))
}

fn number(spec: &Value, at: &str, value: u64) -> bool {
    spec.pointer(at).and_then(Value::as_u64) == Some(value)
}

fn list<'a>(spec: &'a Value, at: &str) -> &'a [Value] {
    spec.pointer(at).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
