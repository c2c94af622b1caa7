//! A tree as a policy: defaults filled in, a preset joined. What the walk has complained about is left out here.

use std::collections::BTreeMap;
use std::sync::Arc;

use nri_wire::field::Field;

use super::node::{Entry, Node, Value};
use super::policy::{
    At, FieldRule, Grant, Identity, Launched, Level, Limits, Match, Namespaces, Origin, Peer, Pod, Policy,
    Require, Scope, Sha256, Tolerate,
};
use super::source::{FileId, Span};
use super::walk::{amount, duration};
use super::word::{
    ClientOverride, EditRule, FailurePolicy, Invariant, Meaning, Mode, OnViolation, Proof, UnconfinedMeans,
    Unenforceable, UpdateKind,
};
use crate::diagnostic::Diagnostics;
use crate::rule::{FieldKey, Rule};

/// Reads a document whose `spec` has been joined with that of its preset. Levels are not extended yet.
pub(crate) fn policy(document: &Node, spec: &Node) -> Policy {
    let file = document.span.file;
    let none = Node { span: Span::start_of(file), value: Value::Null };
    let metadata = document.get("metadata").unwrap_or(&none);
    Policy {
        name: named(metadata, "name").unwrap_or_else(|| At { value: Box::from(""), at: document.span }),
        labels: labels(metadata.get("labels")),
        spec_at: document.entry("spec").map_or(document.span, |entry| entry.key_span),
        extends: text_at(spec.get("extends")),
        mode: word(spec, "mode", mode).unwrap_or(Mode::Enforce),
        failure: word(spec, "failurePolicy", FailurePolicy::from_word).unwrap_or(FailurePolicy::Closed),
        unenforceable: word(spec, "unenforceable", Unenforceable::from_word).unwrap_or(Unenforceable::Refuse),
        client_override: word(spec, "clientOverride", ClientOverride::from_word)
            .unwrap_or(ClientOverride::Security),
        unconfined_means: word(spec, "unconfinedMeans", UnconfinedMeans::from_word)
            .unwrap_or(UnconfinedMeans::Explicit),
        assumed_base: text_at(spec.get("assumedBase")),
        edit_rule: spec.entry("securityProfileEditRule").and_then(|entry| {
            Some(At { value: EditRule::from_word(entry.value.text()?)?, at: entry.value.span })
        }),
        default_level: text_at(spec.get("defaultLevel")),
        default_level_at: spec.entry("defaultLevel").map(|entry| entry.key_span),
        scope: spec.entry("scope").map(scope).unwrap_or_default(),
        identities: list(spec, "identities").iter().filter_map(identity).collect(),
        levels: list(spec, "levels")
            .iter()
            .enumerate()
            .filter_map(|(index, node)| level(index, node, file))
            .collect(),
        invariants: list(spec, "invariants")
            .iter()
            .filter_map(|node| Some((Invariant::from_word(node.text()?)?, node.span)))
            .collect(),
        require: list(spec, "require").iter().filter_map(require).collect(),
        limits: spec.get("limits").map(limits).unwrap_or_default(),
    }
}

fn scope(entry: &Entry) -> Scope {
    Scope {
        at: Some(entry.key_span),
        namespaces: namespaces(entry.value.get("namespaces")),
        labels: labels(entry.value.get("labels")),
    }
}

fn namespaces(node: Option<&Node>) -> Namespaces {
    let Some(node) = node else { return Namespaces::default() };
    Namespaces {
        include: node.get("include").filter(|node| matches!(node.value, Value::List(_))).map(texts),
        exclude: node.get("exclude").map(texts).unwrap_or_default(),
    }
}

fn identity(node: &Node) -> Option<Identity> {
    Some(Identity {
        name: named(node, "name")?,
        level: text_at(node.get("level")).unwrap_or_else(|| At { value: Box::from(""), at: node.span }),
        matches: node.get("match").map(matches).unwrap_or_default(),
        priority: node.get("priority").and_then(|node| node.word()?.parse().ok()).unwrap_or(0),
        reserve: node.get("reserve").map(texts).unwrap_or_default(),
    })
}

fn matches(node: &Node) -> Match {
    let text = |node: &Node, name: &str| node.get(name).and_then(Node::word).map(Box::from);
    let digest = |node: &Node, name: &str| node.get(name).and_then(|node| Sha256::parse(node.text()?));
    Match {
        any_of: sorted(list(node, "anyOf").iter().map(matches).collect()),
        plugin_name: text(node, "pluginName"),
        index: text(node, "index"),
        listener: text(node, "listener"),
        peer: node.get("peer").map(|node| Peer {
            uid: node.get("uid").map(ids),
            gid: node.get("gid").map(ids),
            groups: node.get("groups").map(ids),
            exe: text(node, "exe"),
            exe_sha256: digest(node, "exeSha256"),
            label: text(node, "label"),
            systemd_unit: text(node, "systemdUnit"),
            cgroup: text(node, "cgroup"),
        }),
        pod: node.get("pod").map(|node| Pod {
            namespace: text(node, "namespace"),
            name: text(node, "name"),
            labels: labels(node.get("labels")),
            container: text(node, "container"),
            image_digest: digest(node, "imageDigest"),
        }),
        launched: node
            .get("launched")
            .map(|node| Launched { path: text(node, "path"), sha256: digest(node, "sha256") }),
    }
}

fn level(index: usize, node: &Node, file: FileId) -> Option<Level> {
    let preset = node.span.file != file;
    let origin = if preset { Origin::Preset } else { Origin::Own };
    let fields = node.get("fields").map(Node::entries).unwrap_or_default();
    let updates = node.get("updates").map(Node::entries).unwrap_or_default();
    Some(Level {
        name: named(node, "name")?,
        extends: text_at(node.get("extends")),
        require_proof: node
            .entry("requireProof")
            .and_then(|entry| Some(At { value: Proof::from_word(entry.value.text()?)?, at: entry.span() })),
        may_override_client: node.get("mayOverrideClient").and_then(Node::bool),
        mode: word(node, "mode", mode),
        on_violation: word(node, "onViolation", on_violation),
        fields: fields
            .iter()
            .filter_map(|entry| {
                let key = FieldKey::from_name(&entry.key)?;
                let rule = Rule::read(key, entry.key_span, &entry.value, "", &mut Diagnostics::default());
                Some((
                    key,
                    Arc::new(FieldRule {
                        key_at: entry.key_span,
                        rule,
                        node: entry.value.clone(),
                        origin,
                        level: index,
                    }),
                ))
            })
            .collect(),
        updates: updates
            .iter()
            .filter_map(|entry| Some((UpdateKind::from_word(&entry.key)?, Arc::new(grant(entry)))))
            .collect(),
        preset,
    })
}

fn grant(entry: &Entry) -> Grant {
    let node = &entry.value;
    Grant {
        at: entry.key_span,
        allow: node.text().is_none_or(|text| text == "allow") && !node.is_broken(),
        namespaces: node.get("targets").and_then(|targets| targets.get("namespaces")).map(texts),
        mode: word(node, "mode", mode),
        on_violation: word(node, "onViolation", on_violation),
        id: node.get("id").and_then(Node::text).map(Box::from),
    }
}

fn require(node: &Node) -> Option<Require> {
    Some(Require {
        plugin: text_at(node.get("plugin"))?,
        meaning: word(node, "meaning", Meaning::from_word).unwrap_or(Meaning::Answered),
        fields: list(node, "fields").iter().filter_map(|node| Field::from_name(node.text()?)).collect(),
        namespaces: namespaces(node.get("namespaces")),
        tolerate: node.entry("tolerate").and_then(|entry| {
            Some(Tolerate {
                at: entry.key_span,
                annotation: Box::from(entry.value.get("annotation")?.text()?),
                namespaces: entry.value.get("namespaces").map(texts).unwrap_or_default(),
            })
        }),
        grace: node.get("graceAfterBoot").and_then(|node| duration(node.word()?)),
    })
}

fn limits(node: &Node) -> Limits {
    let default = Limits::default();
    let read = |name: &str| node.get(name).and_then(|node| amount(node.word()?));
    Limits {
        changes_per_container: read("changesPerContainer").unwrap_or(default.changes_per_container),
        updates_per_second: read("updatesPerSecond").unwrap_or(default.updates_per_second),
        response_bytes: read("responseBytes").unwrap_or(default.response_bytes),
    }
}

fn list<'n>(node: &'n Node, name: &str) -> &'n [Node] {
    node.get(name).map(Node::items).unwrap_or_default()
}

fn word<T>(node: &Node, name: &str, from: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    from(node.get(name)?.text()?)
}

fn mode(word: &str) -> Option<Mode> {
    Mode::NAMES.iter().find(|(name, _)| *name == word).map(|(_, mode)| *mode)
}

fn on_violation(word: &str) -> Option<OnViolation> {
    OnViolation::NAMES.iter().find(|(name, _)| *name == word).map(|(_, effect)| *effect)
}

fn text_at(node: Option<&Node>) -> Option<At<Box<str>>> {
    let node = node?;
    Some(At { value: Box::from(node.text()?), at: node.span })
}

/// A member and its text; the place is that of both.
fn named(node: &Node, name: &str) -> Option<At<Box<str>>> {
    let entry = node.entry(name)?;
    Some(At { value: Box::from(entry.value.text()?), at: entry.span() })
}

fn texts(node: &Node) -> Vec<Box<str>> {
    node.items().iter().filter_map(Node::text).map(Box::from).collect()
}

fn ids(node: &Node) -> Vec<u32> {
    let one = std::slice::from_ref(node);
    let items = if matches!(node.value, Value::List(_)) { node.items() } else { one };
    sorted(items.iter().filter_map(|item| item.word()?.parse().ok()).collect())
}

/// Without order and repetition, which mean nothing, so that equal things look equal.
fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list.dedup();
    list
}

fn labels(node: Option<&Node>) -> BTreeMap<Box<str>, Box<str>> {
    let entries = node.map(Node::entries).unwrap_or_default();
    entries.iter().filter_map(|entry| Some((entry.key.clone(), Box::from(entry.value.text()?)))).collect()
}
