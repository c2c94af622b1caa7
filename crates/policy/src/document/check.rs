//! What no member shows alone: names that do not exist or exist twice, circles, proofs that cannot be enough.

use std::collections::BTreeMap;

use super::node::Node;
use super::policy::{At, Level, Match, Policy};
use super::source::Span;
use super::word::{Meaning, Proof};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, quoted};

/// Checks one policy, its levels extended.
pub(crate) fn policy(policy: &Policy, out: &mut Diagnostics) {
    names(
        policy.identities.iter().map(|identity| &identity.name),
        "identity",
        "spec.identities",
        policy,
        out,
    );
    names(policy.levels.iter().map(|level| &level.name), "level", "spec.levels", policy, out);
    levels(policy, out);
    ambiguous(policy, out);
    proofs(policy, out);
}

/// Says that two policies have one name (E042), at the second.
pub(crate) fn policies<'p>(policies: impl IntoIterator<Item = &'p Policy>, out: &mut Diagnostics) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for policy in policies.into_iter().filter(|policy| !policy.name.value.is_empty()) {
        match seen.get(&*policy.name.value) {
            Some(first) => duplicate(&policy.name, "policy", "metadata.name".to_owned(), *first, out),
            None => drop(seen.insert(&policy.name.value, policy.name.at)),
        }
    }
}

/// `fields` of a required plugin belongs to the meaning `owns` (E021).
pub(crate) fn require(document: &Node, out: &mut Diagnostics) {
    let list = document.get("spec").and_then(|spec| spec.get("require"));
    for (index, node) in list.map(Node::items).unwrap_or_default().iter().enumerate() {
        let owns = node.get("meaning").and_then(Node::text) == Some(Meaning::Owns.word());
        if let Some(entry) = node.entry("fields").filter(|_| !owns) {
            let path = format!("spec.require[{index}].fields");
            out.push(
                Diagnostic::new(Code::E021, entry.key_span, path, "`fields` belongs to `meaning: owns`")
                    .label("does not belong here")
                    .help("add `meaning: owns`, or take it out"),
            );
        }
    }
}

fn names<'p>(
    names: impl Iterator<Item = &'p At<Box<str>>>,
    what: &str,
    list: &str,
    policy: &Policy,
    out: &mut Diagnostics,
) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    let own = names.enumerate().filter(|(_, name)| name.at.file == policy.spec_at.file);
    for (index, name) in own {
        match seen.get(&*name.value) {
            Some(first) => duplicate(name, what, format!("{list}[{index}].name"), *first, out),
            None => drop(seen.insert(&name.value, name.at)),
        }
    }
}

fn duplicate(name: &At<Box<str>>, what: &str, path: String, first: Span, out: &mut Diagnostics) {
    let message = format!("a second {what} with the name {}", quoted(&name.value));
    out.push(
        Diagnostic::new(Code::E042, name.at, path, message)
            .label("the name is taken")
            .related(first, "first given here")
            .help(format!("decisions name rules by it: give each {what} a name of its own")),
    );
}

/// Every level that is named exists (E040).
fn levels(policy: &Policy, out: &mut Diagnostics) {
    let names = by_name(policy);
    let known = || names.keys().copied();
    let mut exists = |name: &At<Box<str>>, path: String| {
        if name.value.is_empty() || names.contains_key(&*name.value) {
            return;
        }
        let mut found =
            Diagnostic::new(Code::E040, name.at, path, format!("unknown level {}", quoted(&name.value)));
        if !out.is_full() {
            found = found.label("no level has this name").suggest(&name.value, known());
        }
        if found.suggestion.is_none() && !out.is_full() {
            let some: Vec<String> = known().take(8).map(quoted).collect();
            found.help = Some(match some.as_slice() {
                [] => "the policy has no levels: add it to `levels`".to_owned(),
                names => format!("levels of this policy: {}", names.join(", ")),
            });
        }
        out.push(found);
    };
    if let Some(level) = &policy.default_level {
        exists(level, "spec.defaultLevel".to_owned());
    }
    for (index, identity) in policy.identities.iter().enumerate() {
        exists(&identity.level, format!("spec.identities[{index}].level"));
    }
    for (index, level) in policy.levels.iter().enumerate() {
        if let Some(extends) = &level.extends {
            exists(extends, format!("spec.levels[{index}].extends"));
        }
    }
}

/// No two identities are told apart by nothing but their level (E043), at the second.
fn ambiguous(policy: &Policy, out: &mut Diagnostics) {
    let mut seen = BTreeMap::new();
    for (index, identity) in policy.identities.iter().enumerate() {
        let first = *seen.entry((&identity.matches, identity.priority)).or_insert(identity);
        if first.level.value != identity.level.value {
            let message = format!(
                "identities {} and {} match the same plugins and give different levels",
                quoted(&first.name.value),
                quoted(&identity.name.value)
            );
            out.push(
                Diagnostic::new(
                    Code::E043,
                    identity.name.at,
                    format!("spec.identities[{index}].name"),
                    message,
                )
                .label(format!("gives {}", quoted(&identity.level.value)))
                .related(first.name.at, format!("gives {}", quoted(&first.level.value)))
                .help("give one of them a higher `priority`, or remove it"),
            );
        }
    }
}

/// No level asks for more proof than an identity that has it can give (E044).
fn proofs(policy: &Policy, out: &mut Diagnostics) {
    let levels = by_name(policy);
    for (index, identity) in policy.identities.iter().enumerate() {
        let Some(level) = levels.get(&*identity.level.value) else { continue };
        let Some(needed) = &level.require_proof else { continue };
        let given = identity.matches.proof();
        if given >= needed.value {
            continue;
        }
        let message = format!(
            "level {} asks for {} proof, identity {} gives {given}",
            quoted(&level.name.value),
            needed.value,
            quoted(&identity.name.value)
        );
        out.push(
            Diagnostic::new(Code::E044, identity.name.at, format!("spec.identities[{index}].name"), message)
                .label(matched_by(&identity.matches.selectors()))
                .related(needed.at, "required here")
                .help(stronger(&identity.matches, needed.value)),
        );
    }
}

/// The levels of a policy; of two with one name the first.
fn by_name(policy: &Policy) -> BTreeMap<&str, &Level> {
    policy.levels.iter().rev().map(|level| (&*level.name.value, level)).collect()
}

fn matched_by(selectors: &[&str]) -> String {
    match selectors {
        [] => "matches every plugin".to_owned(),
        [one] => format!("matches {one} only"),
        [some @ .., last] => format!("matches {} and {last} only", some.join(", ")),
    }
}

fn stronger(matches: &Match, needed: Proof) -> String {
    let what = match (needed, &matches.pod, &matches.launched) {
        _ if !matches.any_of.is_empty() => "give every alternative of `anyOf` more proof",
        (Proof::Strong, _, Some(_)) => "add `sha256`",
        (Proof::Strong, Some(_), None) => "add `imageDigest`",
        (Proof::Strong, None, None) => "add `launched` with `sha256` or `pod` with `imageDigest`",
        _ => "add `peer`, `pod`, `launched` or `listener`",
    };
    format!("{what}, or lower `requireProof`")
}
