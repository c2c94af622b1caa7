//! What a level may do, in plain words (`policy.md` 13).

use nri_wire::field::{FIELDS, Field};

use crate::change::Subject;
use crate::document::node::{Entry, Node, Value};
use crate::document::policy::{FieldRule, Level, Policy};
use crate::rule::seccomp::Class;
use crate::rule::{FieldKey, Mode, OnViolation, table};

/// What a level says about one field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// The field.
    pub subject: Subject,
    /// Whether it may be changed.
    pub verdict: Verdict,
    /// The key that decides; `None`: none covers the field.
    pub key: Option<FieldKey>,
    /// What may be done: `add, set`.
    pub ops: String,
    /// With what: `/usr/lib/nvidia/** → /usr/lib/**  ro, nosuid, nodev`.
    pub what: String,
    /// What becomes of other changes.
    pub mode: Mode,
    /// What becomes of other changes in mode `enforce`.
    pub on_violation: OnViolation,
}

/// Whether a field may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// In every way that the rule's operations name.
    Allow,
    /// In some ways.
    Limited,
    /// Not at all.
    Deny,
}

impl Verdict {
    /// `allow`, `limited` or `deny`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Limited => "limited",
            Self::Deny => "deny",
        }
    }
}

/// What a level says about each field, in the order of the list, `unknown` last.
#[must_use]
pub fn level(policy: &Policy, level: &Level) -> Vec<Line> {
    let fields = FIELDS.iter().map(|info| Subject::Field(info.field));
    fields.chain([Subject::Unknown]).map(|subject| line(policy, level, subject)).collect()
}

/// What a level says about updates of other containers: `no`, `others, sync in namespaces infra-*`.
#[must_use]
pub fn updates(level: &Level) -> String {
    let granted = level.updates.iter().filter(|(_, grant)| grant.allow);
    let said: Vec<String> = granted
        .map(|(kind, grant)| match &grant.namespaces {
            None => kind.word().to_owned(),
            Some(globs) => format!("{} in namespaces {}", kind.word(), globs.join(", ")),
        })
        .collect();
    if said.is_empty() { "none".to_owned() } else { said.join("; ") }
}

fn line(policy: &Policy, level: &Level, subject: Subject) -> Line {
    let found = FieldKey::deciding(subject).find_map(|key| Some((key, level.fields.get(&key)?)));
    let node = found.map(|(_, rule)| &rule.node);
    let own = |read: fn(&FieldRule) -> Option<Mode>| found.and_then(|(_, rule)| read(rule));
    let mode = own(|rule| rule.rule.as_ref()?.mode).or(level.mode).unwrap_or(policy.mode);
    let on_violation = found.and_then(|(_, rule)| rule.rule.as_ref()?.on_violation).or(level.on_violation);
    let (verdict, ops, what) = match (node, subject) {
        (None, _) => (Verdict::Deny, String::new(), String::new()),
        (Some(node), Subject::Field(Field::Seccomp)) => seccomp(node),
        (Some(node), _) => rule(node, subject),
    };
    Line {
        subject,
        verdict,
        key: found.map(|(key, _)| key),
        ops,
        what,
        mode,
        on_violation: on_violation.unwrap_or(OnViolation::by_danger(table::danger(subject))),
    }
}

/// A rule of any field but `seccomp`.
fn rule(node: &Node, subject: Subject) -> (Verdict, String, String) {
    let denied = (Verdict::Deny, String::new(), String::new());
    if !matches!(node.value, Value::Map(_)) {
        return if node.text() == Some("allow") {
            (Verdict::Allow, "add, set".to_owned(), "anything".to_owned())
        } else {
            denied
        };
    }
    let list = |name: &str| node.get(name).map(Node::items);
    let ops: Vec<&str> = match list("ops") {
        None => vec!["add", "set"],
        Some(items) => {
            items.iter().filter_map(Node::text).map(|op| if op == "replace" { "set" } else { op }).collect()
        }
    };
    let allow = list("allow");
    if ops.is_empty() || allow.is_some_and(<[Node]>::is_empty) {
        return denied;
    }
    if node.get("bound").is_some() && !has_numbers(subject) {
        return denied;
    }
    if node.get("expand").is_some() {
        // Until CDI files can be looked into (`policy.md`, "Later").
        return (Verdict::Deny, String::new(), "`expand` is not built yet".to_owned());
    }
    let mut parts = Vec::new();
    match allow {
        None => parts.push("anything".to_owned()),
        Some(entries) => {
            parts.push(entries.iter().map(|entry| matched(entry, subject)).collect::<Vec<_>>().join("; "));
        }
    }
    if let Some(bound) = node.get("bound") {
        parts.push(range(bound));
        parts.retain(|part| part != "anything");
    }
    let deny = list("deny").unwrap_or_default();
    if !deny.is_empty() {
        let deny: Vec<String> = deny.iter().map(|entry| matched(entry, subject)).collect();
        parts.push(format!("but not {}", deny.join("; ")));
    }
    let whole = parts.len() == 1 && parts.first().is_some_and(|part| part == "anything");
    (if whole { Verdict::Allow } else { Verdict::Limited }, ops.join(", "), parts.join(", "))
}

fn has_numbers(subject: Subject) -> bool {
    matches!(subject, Subject::Field(field) if table::of(field).bounds.is_some())
}

/// A MATCH: its key members as they are, the others with their names.
fn matched(entry: &Node, subject: Subject) -> String {
    if let Some(set) = entry.text() {
        return set.to_owned();
    }
    let text = |name: &str| entry.get(name).map(said);
    let mut parts = Vec::new();
    let mut named: Vec<&str> = Vec::new();
    match subject.name() {
        "mounts" => {
            named.extend(["source", "destination"]);
            match (text("source"), text("destination")) {
                (Some(source), Some(destination)) => parts.push(format!("{source} → {destination}")),
                (Some(source), None) => parts.push(source),
                (None, Some(destination)) => parts.push(format!("→ {destination}")),
                (None, None) => {}
            }
        }
        "devices" => {
            named.extend(["host", "number", "access"]);
            parts.extend(text("host").map(|host| format!("{host}, by host device number")));
            parts.extend(text("number"));
            parts.extend(text("access"));
        }
        _ => {}
    }
    for Entry { key, value, .. } in entry.entries().iter().filter(|entry| !named.contains(&&*entry.key)) {
        parts.push(match &**key {
            "name" | "key" | "type" | "class" | "policy" | "path" | "value" | "number" | "size"
            | "effect" => said(value),
            "min" => format!("≥ {}", said(value)),
            "max" => format!("≤ {}", said(value)),
            "options" => options(value),
            "nice" | "priority" => format!("{key} {}", range(value)),
            _ => format!("{key} {}", said(value)),
        });
    }
    if parts.is_empty() { "anything".to_owned() } else { parts.join(" ") }
}

fn options(node: &Node) -> String {
    let list = |name: &str| node.get(name).map(said);
    let require = list("require");
    let forbid = list("forbid").map(|options| format!("without {options}"));
    require.into_iter().chain(forbid).collect::<Vec<_>>().join(" ")
}

fn range(node: &Node) -> String {
    let min = node.get("min").map(|min| format!("≥ {}", said(min)));
    let max = node.get("max").map(|max| format!("≤ {}", said(max)));
    min.into_iter().chain(max).collect::<Vec<_>>().join(", ")
}

/// A value in a few words.
fn said(node: &Node) -> String {
    match &node.value {
        Value::List(items) => items.iter().map(said).collect::<Vec<_>>().join(","),
        Value::Text(text) if text.is_empty() => "\"\"".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Map(entries) => entries
            .iter()
            .map(|entry| format!("{} {}", entry.key, said(&entry.value)))
            .collect::<Vec<_>>()
            .join(" "),
        _ => node.word().unwrap_or("nothing").to_owned(),
    }
}

fn seccomp(node: &Node) -> (Verdict, String, String) {
    let word = |value: &str| match value {
        "tighten" => "a policy that is at least as restrictive",
        "listener" => "another listener, nothing else",
        "any" => "anything",
        _ => "nothing",
    };
    let one = |value: &str| match value {
        "any" => (Verdict::Allow, "set".to_owned(), word(value).to_owned()),
        "tighten" => (Verdict::Limited, "set".to_owned(), word(value).to_owned()),
        _ => (Verdict::Deny, String::new(), String::new()),
    };
    let limited = |what: String| (Verdict::Limited, "set".to_owned(), what);
    match node.text() {
        Some("any" | "allow" | "allSecurityProfileEditsAllowed") => one("any"),
        Some("tighten" | "allSecurityProfileConfinementsAllowed") => one("tighten"),
        Some("runtime-default-only" | "defaultContainerRuntimeSecurityProfileEditsAllowed") => {
            limited("where the runtime's default is in force: anything".to_owned())
        }
        Some(_) => one("none"),
        // Through a group or `"*"` what is not denied is `any`.
        None if node.get("ops").is_some() || node.entries().is_empty() => one("any"),
        None => {
            let classes = Class::ALL.iter().filter_map(|class| {
                let value = node.get(class.name())?.text().filter(|value| *value != "none")?;
                Some(format!("{}: {}", class.name(), word(value)))
            });
            let mut classes: Vec<String> = classes.collect();
            if classes.is_empty() {
                return one("none");
            }
            let listener = node.get("listener").and_then(|listener| listener.get("paths"));
            classes.extend(listener.map(|paths| format!("listeners at {}", said(paths))));
            limited(classes.join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::load::{File, load};
    use crate::host::NoHost;

    fn check(fields: &str, field: &str, expect: (&str, &str, &str)) {
        let text = format!(
            "apiVersion: policy.nri-rs/v1alpha1\nkind: PluginPolicy\nmetadata: {{name: p}}\nspec: {{levels: [{{name: l, fields: {fields}}}]}}\n"
        );
        let file = File { name: "p.yaml".into(), content: text.into(), distrust: None };
        let loaded = load(vec![file], &NoHost);
        assert_eq!(loaded.diagnostics.errors(), 0, "{fields}: {:?}", loaded.diagnostics.list());
        let policy = &loaded.policies[0];
        let lines = level(policy, &policy.levels[0]);
        let line = lines.iter().find(|line| line.subject.name() == field).unwrap();
        assert_eq!((line.verdict.name(), &*line.ops, &*line.what), expect, "{fields}");
    }

    #[test]
    fn rules_in_words() {
        let denied = ("deny", "", "");
        check("{env: allow}", "env", ("allow", "add, set", "anything"));
        check("{env: allow}", "args", denied);
        check("{\"*\": allow}", "unknown", denied);
        check("{\"*\": {ops: [add, remove]}}", "env", ("allow", "add, remove", "anything"));
        check("{env: {allow: []}}", "env", denied);
        check("{\"@cpu\": allow, cpu.shares: deny}", "cpu.shares", denied);
        check(
            "{env: {allow: [{name: \"NVIDIA_*\"}], deny: [\"@loader-injection\"]}}",
            "env",
            ("limited", "add, set", "NVIDIA_*, but not @loader-injection"),
        );
        check(
            "{mounts: {ops: [add], allow: [{source: \"/usr/lib/nvidia/**\", destination: \"/usr/lib/**\", options: {require: [ro, nosuid]}}]}}",
            "mounts",
            ("limited", "add", "/usr/lib/nvidia/** → /usr/lib/** ro,nosuid"),
        );
        check(
            "{devices: {allow: [{host: \"/dev/nvidia*\", access: rw}]}}",
            "devices",
            ("limited", "add, set", "/dev/nvidia*, by host device number rw"),
        );
        check(
            "{rlimits: {allow: [{type: RLIMIT_MEMLOCK, max: 64Mi}]}}",
            "rlimits",
            ("limited", "add, set", "RLIMIT_MEMLOCK ≤ 64Mi"),
        );
        check(
            "{\"@memory\": {bound: {max: requested}}}",
            "memory.limit",
            ("limited", "add, set", "≤ requested"),
        );
        check(
            "{seccomp: {runtimeDefault: tighten, localhost: none}}",
            "seccomp",
            ("limited", "set", "runtimeDefault: a policy that is at least as restrictive"),
        );
        check("{seccomp: none}", "seccomp", denied);
        check("{\"@security\": allow}", "seccomp", ("allow", "set", "anything"));
    }
}
