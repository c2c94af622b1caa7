//! `nri policy init`: a policy to begin with, or one that allows just what a recording has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use nri_policy::change::{Op, Recorded};
use nri_policy::document::load::{self, PolicySet};
use nri_policy::document::word::UpdateKind;
use nri_policy::host::NoHost;
use nri_policy::identity::Facts;
use nri_policy::rule::table::Group;
use nri_wire::name::PluginName;
use serde_json::Value;

use super::file;
use super::lock::InForce;
use crate::failure::Failure;
use crate::replay::{self, Wish};

/// Changes of one answer that a policy allows which says nothing of them (`policy.md` 1).
const CHANGES: usize = 256;

/// A policy that is understood by reading it.
const STARTER: &str = r#"# What NRI plugins may change on this node. `nri policy check FILE` finds mistakes, `nri replay` tries it on a recording.
apiVersion: policy.nri-rs/v1alpha1
kind: PluginPolicy
metadata: {name: node}
spec:
  mode: audit               # violations are only recorded; `enforce` once nothing unexpected is
  defaultLevel: untrusted   # the level of every plugin that no identity matches
  identities:               # who is who: all members of a match must hold
    - {name: resources, level: resources, match: {launched: {path: /opt/nri/plugins/10-resources}}}
  levels:                   # what they may change, field by field; a field that is not named may not be changed
    - {name: untrusted, fields: {"*": deny}}
    - {name: resources, fields: {"@cpu": allow, "@memory": allow}, updates: {self: allow, others: allow}}
"#;

/// Print a policy to begin with
///
/// With --from: one that allows each plugin of a recording just what it changed there.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  nri policy init > 10-node.yaml\n  nri policy init --from recording.jsonl > 10-node.yaml && nri replay --policy 10-node.yaml recording.jsonl"
)]
pub(crate) struct Args {
    /// Recording of `nri run --record` or `nri gateway --record`
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<String, Failure> {
    let Some(file) = &args.from else { return Ok(STARTER.to_owned()) };
    let mut plugins: BTreeMap<PluginName, Seen> = BTreeMap::new();
    let recorder = InForce::recording();
    replay::lines(file, |number, line| {
        match replay::wishes(number, line, &recorder) {
            Ok(wishes) => {
                wishes
                    .into_iter()
                    .for_each(|wish| plugins.entry(wish.plugin.clone()).or_default().take(wish));
            }
            // Its last line may be torn.
            Err(failure) => tracing::warn!("passed over: {failure}"),
        }
        Ok(())
    })?;
    let text = policy(&plugins);
    let set = loaded(&text)?;
    let policies = InForce::of_set(set);
    let mut refused = 0_usize;
    replay::lines(file, |_, line| {
        let decision = replay::decision(line, &policies);
        refused += usize::from(
            decision.get("refused").and_then(Value::as_array).is_some_and(|list| !list.is_empty()),
        );
        Ok(())
    })?;
    if refused > 0 {
        tracing::warn!("{refused} requests of the recording are still refused something; see `nri replay`");
    }
    Ok(text)
}

/// # Errors
/// A name in the recording that no policy can have.
fn loaded(text: &str) -> Result<PolicySet, Failure> {
    let file = load::File { name: "the policy".to_owned(), content: text.into(), distrust: None };
    load::load(vec![file], &NoHost).into_set().map_err(|loaded| {
        let first = file::errors(&loaded)
            .next()
            .map(|found| format!("{}: {}", found.span.start, found.message))
            .unwrap_or_default();
        Failure::usage(format!("the recording gives no policy that loads: {first}"))
    })
}

/// What a recording shows of one plugin.
#[derive(Default)]
struct Seen {
    facts: Option<Facts>,
    /// Its facts are not the same everywhere.
    differs: bool,
    fields: BTreeMap<String, Field>,
    updates: BTreeSet<UpdateKind>,
    /// It changes the client's security context.
    overrides: bool,
    /// Most changes of one answer.
    most: usize,
}

/// The changes of one field.
#[derive(Default)]
struct Field {
    ops: BTreeSet<Op>,
    /// As MATCHes; empty where any value is meant.
    matches: BTreeSet<String>,
}

impl Seen {
    fn take(&mut self, wish: Wish) {
        match &self.facts {
            None => self.facts = Some(wish.facts),
            Some(known) => self.differs |= *known != wish.facts,
        }
        self.updates.extend(wish.updates);
        self.most = self.most.max(wish.changes.len());
        for change in &wish.changes {
            let name = change.subject.name();
            let field = self.fields.entry(name.to_owned()).or_default();
            field.ops.insert(change.op);
            field.matches.extend(matching(change));
            let secure = Group::Security.fields().any(|field| field.name() == name);
            self.overrides |= secure && (change.op != Op::Add || name == "seccomp");
        }
    }

    /// By what it can be known.
    fn proof(&self, name: &PluginName) -> String {
        let mut members =
            vec![format!("pluginName: {}", quoted(name.base())), format!("index: {}", quoted(name.index()))];
        let facts = self.facts.as_ref().filter(|_| !self.differs);
        let Some(facts) = facts else { return members.join(", ") };
        let path = facts.exe.as_ref().filter(|path| path.starts_with('/'));
        let path = path.map(|path| quoted(path));
        let digest = facts.sha256.as_ref().filter(|_| !facts.script).map(|digest| quoted(digest));
        let named = |list: Vec<(&str, Option<String>)>| {
            let known = list.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", value?)));
            known.collect::<Vec<_>>().join(", ")
        };
        if facts.launched {
            let launched = named(vec![("path", path), ("sha256", digest)]);
            members.extend((!launched.is_empty()).then(|| format!("launched: {{{launched}}}")));
            return members.join(", ");
        }
        let uid = facts.uid.map(|uid| uid.to_string());
        let exe = path.filter(|_| digest.is_none());
        let peer = named(vec![("uid", uid), ("exe", exe), ("exeSha256", digest)]);
        members.extend((!peer.is_empty()).then(|| format!("peer: {{{peer}}}")));
        if let Some(pod) = &facts.pod {
            let text =
                |text: &Option<String>| text.as_ref().filter(|text| !text.is_empty()).map(|t| quoted(t));
            let pod = named(vec![("namespace", text(&pod.namespace)), ("container", text(&pod.container))]);
            members.extend((!pod.is_empty()).then(|| format!("pod: {{{pod}}}")));
        }
        members.join(", ")
    }

    fn level(&self, name: &PluginName) -> String {
        let mut text = format!("    - name: {}\n", quoted(name.full()));
        if self.overrides {
            text.push_str("      mayOverrideClient: true   # it changed what the client gave\n");
        }
        text.push_str(if self.fields.is_empty() { "      fields: {}\n" } else { "      fields:\n" });
        for (field, seen) in &self.fields {
            text.push_str(&format!("        {field}: {}", seen.rule(field)));
        }
        if !self.updates.is_empty() {
            let kinds: Vec<String> = self.updates.iter().map(|kind| format!("{kind}: allow")).collect();
            text.push_str(&format!("      updates: {{{}}}\n", kinds.join(", ")));
        }
        text
    }
}

impl Field {
    /// The rule, with the end of its line.
    fn rule(&self, name: &str) -> String {
        if name == "seccomp" {
            return "any\n".to_owned();
        }
        let ops: Vec<&str> = self.ops.iter().map(|op| op.name()).collect();
        let ops = format!("ops: [{}]", ops.join(", "));
        if self.matches.is_empty() {
            return format!("{{{ops}}}\n");
        }
        let matches: String =
            self.matches.iter().map(|found| format!("            - {{{found}}}\n")).collect();
        format!("\n          {ops}\n          allow:\n{matches}")
    }
}

/// What is said of a value by name, as members of a MATCH.
fn matching(change: &Recorded) -> Option<String> {
    let value = if change.after.is_null() { &change.before } else { &change.after };
    let key = quoted(&change.key);
    let member = |name: &str| value.get(name).and_then(Value::as_str).map(quoted);
    let one = |name: &str| Some(format!("{name}: {key}"));
    match change.subject.name() {
        "env" | "cdiDevices" | "sysctl" => one("name"),
        "annotations" | "cgroups.unified" => one("key"),
        "rlimits" | "namespaces" => one("type"),
        "hugepages" => one("size"),
        "netDevices" => one("host"),
        "mounts" => {
            let source = member("source").map(|source| format!("source: {source}, ")).unwrap_or_default();
            Some(format!("{source}destination: {key}"))
        }
        "hooks" => Some(format!("type: {}, path: {}", member("type")?, member("path")?)),
        "devices" => {
            let number = |name: &str| value.get(name).and_then(Value::as_i64);
            let node = member("type").zip(number("major")).zip(number("minor"));
            let node = node.filter(|((kind, _), _)| matches!(kind.as_str(), "\"c\"" | "\"b\"" | "\"u\""));
            let node = node.map(|((kind, major), minor)| {
                let kind = if kind == "\"b\"" { "b" } else { "c" };
                format!(", number: \"{kind} {major}:{minor}\"")
            });
            Some(format!("path: {key}{}", node.unwrap_or_default()))
        }
        "deviceCgroup" => {
            let effect = if value["allow"].as_bool() == Some(true) { "allow" } else { "deny" };
            Some(format!("effect: {effect}, number: {key}"))
        }
        "blockio.class" | "rdt.class" | "rdt.closId" | "rdt.schemata" => {
            value.as_str().map(|text| format!("value: {}", quoted(text)))
        }
        _ => None,
    }
}

/// JSON's form of a text is YAML's, too.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn policy(plugins: &BTreeMap<PluginName, Seen>) -> String {
    let mut text = "# Allows each plugin just what it changed in a recording. Look it over: what is by chance in there, and what is missing?
apiVersion: policy.nri-rs/v1alpha1
kind: PluginPolicy
metadata: {name: node}
spec:
  mode: enforce
  defaultLevel: untrusted   # the level of every plugin that no identity matches
"
    .to_owned();
    let most = plugins.values().map(|seen| seen.most).max().unwrap_or_default();
    if most > CHANGES {
        text.push_str(&format!("  limits: {{changesPerContainer: {most}}}\n"));
    }
    if !plugins.is_empty() {
        text.push_str("  identities:\n");
    }
    for (name, seen) in plugins {
        let (full, proof) = (quoted(name.full()), seen.proof(name));
        text.push_str(&format!("    - {{name: {full}, level: {full}, match: {{{proof}}}}}\n"));
    }
    text.push_str("  levels:\n    - {name: untrusted, fields: {\"*\": deny}}\n");
    text.extend(plugins.iter().map(|(name, seen)| seen.level(name)));
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_starter_loads() {
        let loaded = load::load(
            vec![load::File { name: "f".into(), content: STARTER.into(), distrust: None }],
            &NoHost,
        );
        assert_eq!(loaded.diagnostics.list().len(), 0, "{:?}", loaded.diagnostics.list());
    }

    /// Every kind of change, by name; what comes out lets the recording through and nothing else.
    #[test]
    fn a_recording_replays_under_its_own_policy() {
        let adjust = json!({
            "env": [{"key": "A", "value": "1"}, {"key": "-OLD"}], "args": ["", "x"],
            "annotations": {"a/b": "c", "-gone": ""},
            "mounts": [{"source": "/opt/x", "destination": "/x", "type": "bind", "options": ["ro"]}],
            "hooks": {"createRuntime": [{"path": "/bin/hook"}]},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 10, "soft": 10}],
            "CDIDevices": [{"name": "v.com/gpu=0"}],
            "linux": {
                "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}],
                "resources": {
                    "cpu": {"shares": {"value": 5}, "cpus": "0-1"}, "unified": {"memory.high": "1"},
                    "hugepageLimits": [{"pageSize": "2MB", "limit": 1}], "blockioClass": {"value": "gold"},
                    "devices": [{"allow": false, "type": "c", "major": {"value": 5}, "minor": {"value": 1}, "access": "rw"}],
                },
                "cgroupsPath": "/x", "oomScoreAdj": {"value": 5}, "sysctl": {"net.core.somaxconn": "5"},
                "namespaces": [{"type": "ipc", "path": "/proc/1/ns/ipc"}],
                "seccompPolicy": {"defaultAction": "SCMP_ACT_ALLOW"}, "rdt": {"closId": {"value": "c"}},
                "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0"},
                "newField": 7,
            },
        });
        let facts = json!({"exe": "/opt/b", "sha256": "ab".repeat(32), "uid": 5});
        let container = json!({"id": "c", "args": ["y"], "env": ["OLD=1"], "annotations": {"gone": "1"}});
        let update = json!([{"containerId": "o", "linux": {"resources": {"cpu": {"shares": {"value": 9}}}}}]);
        let evict = json!([{"containerId": "o", "reason": "r"}]);
        let lines = [
            json!({"event": "CreateContainer", "pod": {}, "container": container, "answers": [
                {"plugin": "10-a", "adjust": adjust, "update": update},
                {"plugin": "20-b", "adjust": {"env": [{"key": "B", "value": "2"}]}, "facts": facts}]}),
            json!({"event": "UpdateContainer", "pod": {}, "container": {"id": "c"}, "resources": {}, "answers": [
                {"plugin": "10-a", "update": [
                    {"containerId": "c", "linux": {"resources": {"pids": {"limit": 5}}}}]}]}),
            json!({"event": "StopContainer", "pod": {}, "container": {}, "answers": [
                {"plugin": "10-a", "update": update}]}),
            json!({"event": "Synchronize", "answers": [{"plugin": "10-a", "update": update}]}),
            json!({"event": "UpdateContainers", "answers": [{"plugin": "10-a", "update": update, "evict": evict}]}),
        ];
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("recording.jsonl");
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&file, text + "{\"torn").unwrap();
        let text = run(&Args { from: Some(file) }).unwrap();
        let policies = InForce::of_set(loaded(&text).unwrap());
        let refused = |line: &Value| {
            let decision = replay::decision(line.to_string().as_bytes(), &policies);
            assert_ne!(decision["outcome"], "failed", "{decision}");
            decision["refused"].as_array().unwrap().clone()
        };
        for line in &lines {
            assert_eq!(refused(line), Vec::<Value>::new(), "{text}");
        }
        for (plugin, adjust) in [
            ("10-a", json!({"env": [{"key": "B", "value": "1"}]})),
            ("10-a", json!({"mounts": [{"source": "/", "destination": "/x"}]})),
            ("10-a", json!({"linux": {"resources": {"memory": {"limit": {"value": 1}}}}})),
            // Without the facts of the recording it is nobody.
            ("20-b", json!({"env": [{"key": "B", "value": "2"}]})),
            ("30-c", json!({"env": [{"key": "A", "value": "1"}]})),
        ] {
            let line = json!({"event": "CreateContainer", "pod": {}, "container": {"id": "c"},
                "answers": [{"plugin": plugin, "adjust": adjust}]});
            assert_eq!(refused(&line).len(), 1, "{line}");
        }
    }
}
