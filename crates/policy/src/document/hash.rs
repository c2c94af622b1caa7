//! The policy hash (`policy.md` 9): what is in force, whatever way it was written.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::node::{Node, Value};
use super::policy::{FieldRule, Grant, Identity, Level, Match, Namespaces, Policy, Require};
use super::source::Span;
use crate::rule::FieldKey;
use crate::rule::set::Set;

/// How many digits messages show.
pub(crate) const SHORT: usize = 12;

/// SHA-256 over the canonical JSON of policies, in hexadecimal.
pub(crate) fn of(policies: &[Policy]) -> String {
    let mut hash = Sha256::new();
    let mut policies: Vec<&Policy> = policies.iter().collect();
    policies.sort_by(|a, b| a.name.value.cmp(&b.name.value));
    for policy in policies {
        hash.update(canonical(&document(policy)));
    }
    hex(hash)
}

fn canonical(value: &Json) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text.push('\n');
    text
}

fn hex(hash: Sha256) -> String {
    super::policy::Sha256(hash.finalize().into()).to_string()
}

/// A policy with defaults filled in and sets expanded.
fn document(policy: &Policy) -> Json {
    let mut known = Rules::new();
    json!({
        "name": policy.name.value,
        "labels": policy.labels,
        "mode": mode(policy.mode),
        "failurePolicy": policy.failure.word(),
        "unenforceable": policy.unenforceable.word(),
        "clientOverride": policy.client_override.word(),
        "unconfinedMeans": policy.unconfined_means.word(),
        "assumedBase": policy.assumed_base.as_ref().map(|base| &base.value),
        "defaultLevel": policy.default_level.as_ref().map(|level| &level.value),
        "scope": {"namespaces": namespaces(&policy.scope.namespaces), "labels": policy.scope.labels},
        "identities": by_name(policy.identities.iter().map(|identity| (&*identity.name.value, self::identity(identity)))),
        "levels": by_name(policy.levels.iter().map(|level| (&*level.name.value, self::level(level, &mut known)))),
        "invariants": policy.invariants.keys().map(|invariant| invariant.word()).collect::<Vec<_>>(),
        "require": policy.require.iter().map(require).collect::<Vec<_>>(),
        "limits": {
            "changesPerContainer": policy.limits.changes_per_container,
            "updatesPerSecond": policy.limits.updates_per_second,
            "responseBytes": policy.limits.response_bytes,
        },
    })
}

fn by_name<'n>(named: impl Iterator<Item = (&'n str, Json)>) -> Json {
    let map: BTreeMap<&str, Json> = named.collect();
    json!(map)
}

fn namespaces(namespaces: &Namespaces) -> Json {
    json!({"include": namespaces.include, "exclude": namespaces.exclude})
}

fn identity(identity: &Identity) -> Json {
    json!({
        "level": identity.level.value,
        "match": matches(&identity.matches),
        "priority": identity.priority,
        "reserve": identity.reserve,
    })
}

fn matches(found: &Match) -> Json {
    let digest = |digest: Option<super::policy::Sha256>| digest.map(|digest| digest.to_string());
    json!({
        "anyOf": found.any_of.iter().map(matches).collect::<Vec<_>>(),
        "pluginName": found.plugin_name,
        "index": found.index,
        "listener": found.listener,
        "peer": found.peer.as_ref().map(|peer| json!({
            "uid": peer.uid, "gid": peer.gid, "groups": peer.groups, "exe": peer.exe,
            "exeSha256": digest(peer.exe_sha256), "label": peer.label, "systemdUnit": peer.systemd_unit,
            "cgroup": peer.cgroup,
        })),
        "pod": found.pod.as_ref().map(|pod| json!({
            "namespace": pod.namespace, "name": pod.name, "labels": pod.labels, "container": pod.container,
            "imageDigest": digest(pod.image_digest),
        })),
        "launched": found.launched.as_ref().map(|launched| json!({
            "path": launched.path, "sha256": digest(launched.sha256),
        })),
    })
}

fn level(level: &Level, known: &mut Rules) -> Json {
    json!({
        "requireProof": level.require_proof.as_ref().map_or("weak", |proof| proof.value.word()),
        "mayOverrideClient": level.may_override_client.unwrap_or(false),
        "mode": level.mode.map(mode),
        "onViolation": level.on_violation.map(on_violation),
        "fields": by_name(level.fields.iter().map(|(key, rule)| (key.name(), digest(rule, known)))),
        "updates": by_name(level.updates.iter().map(|(kind, grant)| (kind.word(), self::grant(grant)))),
    })
}

fn grant(grant: &Grant) -> Json {
    json!({
        "allow": grant.allow, "namespaces": grant.namespaces, "mode": grant.mode.map(mode),
        "onViolation": grant.on_violation.map(on_violation), "id": grant.id,
    })
}

fn require(require: &Require) -> Json {
    json!({
        "plugin": require.plugin.value,
        "meaning": require.meaning.word(),
        "fields": require.fields.iter().map(|field| field.name()).collect::<Vec<_>>(),
        "namespaces": namespaces(&require.namespaces),
        "tolerate": require.tolerate.as_ref().map(|tolerate| json!({
            "annotation": tolerate.annotation, "namespaces": tolerate.namespaces,
        })),
        "graceAfterBoot": require.grace.map(|grace| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX)),
    })
}

/// Digests of rules by their places: a rule that many levels inherit is looked at once.
type Rules = BTreeMap<(Span, Option<FieldKey>), String>;

/// A rule by its own digest.
fn digest(rule: &FieldRule, known: &mut Rules) -> Json {
    let place = (rule.key_at, rule.rule.as_ref().map(|rule| rule.key));
    let digest = known
        .entry(place)
        .or_insert_with(|| hex(Sha256::new_with_prefix(canonical(&self::rule(&rule.node)))));
    Json::from(digest.as_str())
}

/// A rule as written, the word `allow` as the rule that it stands for, sets with what they hold.
fn rule(node: &Node) -> Json {
    match node.text() {
        Some("allow") => json!({}),
        _ => expanded(node),
    }
}

fn expanded(node: &Node) -> Json {
    match &node.value {
        Value::Text(text) if text.starts_with('@') => match Set::from_name(text) {
            Some(set) => json!({"set": set.name(), "members": set.members()}),
            None => Json::from(&**text),
        },
        Value::List(items) => items.iter().map(expanded).collect(),
        Value::Map(entries) => {
            entries.iter().map(|entry| (entry.key.to_string(), expanded(&entry.value))).collect()
        }
        _ => node.to_json(),
    }
}

fn mode(mode: crate::rule::Mode) -> &'static str {
    crate::rule::Mode::NAMES.iter().find(|(_, other)| *other == mode).map_or("", |(name, _)| name)
}

fn on_violation(effect: crate::rule::OnViolation) -> &'static str {
    crate::rule::OnViolation::NAMES.iter().find(|(_, other)| *other == effect).map_or("", |(name, _)| name)
}

/// JSON without spaces, members in the order of their names.
fn write(value: &Json, text: &mut String) {
    match value {
        Json::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Json::Object(members) => {
            text.push('{');
            let sorted: BTreeMap<&String, &Json> = members.iter().collect();
            for (index, (name, member)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Json::from(name.as_str()).to_string());
                text.push(':');
                write(member, text);
            }
            text.push('}');
        }
        _ => text.push_str(&value.to_string()),
    }
}
