//! What loads, and probably does something else than was meant (`W…`). Only what stands in the policy itself counts, not
//! what came in with a preset.

use std::collections::BTreeSet;

use nri_wire::field::Field;

use super::node::{Node, Value};
use super::policy::{FieldRule, Origin, Policy, Scope};
use super::source::Span;
use super::word::{Mode, Proof};
use crate::change::Subject;
use crate::diagnostic::{Code, Diagnostic, Diagnostics, quoted};
use crate::host::Host;
use crate::rule::FieldKey;
use crate::rule::glob::Glob;

/// Looks at one policy.
pub(crate) fn policy(policy: &Policy, host: &dyn Host, out: &mut Diagnostics) {
    unproven(policy, out);
    scope(policy, out);
    tolerations(policy, out);
    names(policy, out);
    let mut seen = BTreeSet::new();
    for level in &policy.levels {
        let own =
            level.fields.iter().filter(|(_, rule)| rule.origin == Origin::Own && seen.insert(rule.key_at));
        for (key, rule) in own {
            let FieldKey::Subject(Subject::Field(field)) = key else { continue };
            let path = format!("spec.levels[{}].fields.{}", rule.level, field.name());
            of_field(*field, rule, &path, host, out);
        }
    }
}

/// Looks at what is loaded together.
pub(crate) fn policies(policies: &[&Policy], out: &mut Diagnostics) {
    let mut defaults = policies.iter().filter_map(|policy| Some((policy, default_level(policy)?)));
    if let Some((first, (first_at, _))) = defaults.next() {
        for (policy, (at, path)) in defaults {
            out.push(
                Diagnostic::new(Code::W107, at, path, "more than one `defaultLevel`")
                    .label(format!("{} says so too", quoted(&policy.name.value)))
                    .related(first_at, format!("{} says it here", quoted(&first.name.value)))
                    .help("unknown plugins may do only what all of them allow; keep it in one policy"),
            );
        }
    }
    uncovered(policies, out);
}

/// Where a policy says `defaultLevel`, or takes one over.
fn default_level(policy: &Policy) -> Option<(Span, &'static str)> {
    let at = policy.default_level_at?;
    match &policy.extends {
        Some(extends) if at.file != policy.spec_at.file => Some((extends.at, "spec.extends")),
        _ => Some((at, "spec.defaultLevel")),
    }
}

/// `"*": allow` where nothing is proven (W101).
fn unproven(policy: &Policy, out: &mut Diagnostics) {
    let weak = policy.identities.iter().filter(|identity| identity.matches.proof() == Proof::Weak);
    let reached: BTreeSet<&str> = weak
        .map(|identity| &identity.level)
        .chain(&policy.default_level)
        .map(|level| &*level.value)
        .collect();
    let mut said = BTreeSet::new();
    for level in &policy.levels {
        let Some(rule) = level.fields.get(&FieldKey::All).filter(|rule| rule.origin == Origin::Own) else {
            continue;
        };
        let mode = level.mode.unwrap_or(policy.mode);
        let allows = match rule.node.text() {
            Some(word) => word == "allow",
            None => {
                allows(&rule.node)
                    && rule.node.get("bound").is_none()
                    && mode != Mode::Audit
                    && rule.node.get("mode").is_none()
            }
        };
        if reached.contains(&*level.name.value) && allows && said.insert(rule.key_at) {
            let message =
                format!("level {} allows everything and asks for no proof", quoted(&level.name.value));
            out.push(
                Diagnostic::new(
                    Code::W101,
                    rule.key_at,
                    format!("spec.levels[{}].fields.*", rule.level),
                    message,
                )
                .label("every process that can connect may do this")
                .help("name the fields that unknown plugins need, or deny"),
            );
        }
    }
}

fn scope(policy: &Policy, out: &mut Diagnostics) {
    let Scope { at: Some(at), namespaces, labels } = &policy.scope else { return };
    if at.file == policy.spec_at.file
        && !labels.is_empty()
        && *namespaces == super::policy::Namespaces::default()
    {
        out.push(
            Diagnostic::new(Code::W103, *at, "spec.scope", "scope by label only")
                .label("the pod's author chooses its labels")
                .help("add `namespaces`"),
        );
    }
}

fn tolerations(policy: &Policy, out: &mut Diagnostics) {
    for (index, require) in policy.require.iter().enumerate() {
        if let Some(tolerate) = require.tolerate.as_ref().filter(|tolerate| tolerate.namespaces.is_empty()) {
            let path = format!("spec.require[{index}].tolerate");
            out.push(
                Diagnostic::new(
                    Code::W104,
                    tolerate.at,
                    path,
                    "toleration by pod annotation without namespaces",
                )
                .label("any pod author can set this annotation")
                .help("add `namespaces: [...]`"),
            );
        }
    }
}

fn names(policy: &Policy, out: &mut Diagnostics) {
    for (index, identity) in policy.identities.iter().enumerate() {
        if identity.matches.proof() == Proof::Weak {
            let message = format!("identity {} is known by its name alone", quoted(&identity.name.value));
            out.push(
                Diagnostic::new(
                    Code::W122,
                    identity.name.at,
                    format!("spec.identities[{index}].name"),
                    message,
                )
                .label("a plugin chooses its name and index itself")
                .help("add `peer`, `pod`, `launched` or `listener`"),
            );
        }
    }
}

fn of_field(field: Field, rule: &FieldRule, path: &str, host: &dyn Host, out: &mut Diagnostics) {
    let mut warn = |code, message: &str, label: &str, help: &str| {
        out.push(Diagnostic::new(code, rule.key_at, path, message).label(label).help(help));
    };
    let node = &rule.node;
    if !allows(node) {
        return;
    }
    let entries = node.get("allow").map(Node::items);
    let some = |test: &dyn Fn(&Node) -> bool| entries.is_some_and(|entries| entries.iter().any(test));
    match field {
        Field::Hooks if entries.is_none() || some(&|entry| entry.get("sha256").is_none()) => warn(
            Code::W102,
            "hooks allowed without a digest",
            "any file at an allowed path would run as root on the host",
            "add `sha256` to each entry of `allow`",
        ),
        Field::Devices
            if some(&|entry| {
                entry.get("path").is_some() && entry.get("host").is_none() && entry.get("number").is_none()
            }) =>
        {
            warn(
                Code::W111,
                "device allowed by its path only",
                "a plugin can give any device this path",
                "add `host` or `number`",
            );
        }
        Field::CdiDevices if node.get("expand").is_none() => warn(
            Code::W112,
            "CDI devices without `expand`",
            "what the CDI file adds is not judged",
            "add `expand: {hooks: deny, mounts: inherit, devices: inherit, env: inherit}`",
        ),
        Field::Annotations if !denies(node, "@runtime-control") => warn(
            Code::W113,
            "annotations allowed without denying `@runtime-control`",
            "some annotations steer the OCI runtime",
            "add `deny: [\"@runtime-control\"]`",
        ),
        Field::Mounts => {
            if some(&|entry| entry.get("source").is_some() && entry.get("resolve").is_none()) {
                warn(
                    Code::W132,
                    "mount source without `resolve`",
                    "a link in the source leads elsewhere",
                    "add `resolve: no-symlinks` or `resolve: real`",
                );
            }
            if let Some(folder) = entries.unwrap_or_default().iter().find_map(|entry| writable(entry, host)) {
                let message = format!("mount source {} is writable by others than root", quoted(&folder));
                warn(
                    Code::W131,
                    &message,
                    "between check and mount the source can be swapped",
                    "allow sources that only root can write to",
                );
            }
        }
        _ => {}
    }
}

/// The folder of an entry's source, if others than root can write to it.
fn writable(entry: &Node, host: &dyn Host) -> Option<String> {
    let glob = Glob::path(entry.get("source")?.text()?).ok()?;
    let folder = glob.folder()?.to_owned();
    host.is_writable_by_others(&folder).is_ok_and(|writable| writable).then_some(folder)
}

/// Whether a rule lets anything through.
fn allows(node: &Node) -> bool {
    match &node.value {
        Value::Text(word) => &**word == "allow",
        Value::Map(_) => {
            let none = |name| node.get(name).is_some_and(|list| list.value == Value::List(Vec::new()));
            !none("allow") && !none("ops")
        }
        _ => false,
    }
}

fn denies(node: &Node, set: &str) -> bool {
    node.get("deny")
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .any(|entry| entry.text() == Some(set) || entry.value == Value::Map(Vec::new()))
}

/// Namespaces that no policy has in scope (W105), each once, at the scope that leaves it out.
fn uncovered(policies: &[&Policy], out: &mut Diagnostics) {
    /// Most namespaces that are tried.
    const TRIED: usize = 256;
    let covers = |policy: &Policy, name: &str| policy.scope.namespaces.contain(name);
    if policies.is_empty() || policies.iter().any(|policy| policy.scope.at.is_none()) {
        return;
    }
    let mut said = BTreeSet::new();
    for policy in policies {
        let Some(at) = policy.scope.at else { continue };
        let globs = policy.scope.namespaces.exclude.iter().take(TRIED);
        for glob in globs.filter(|glob| !said.contains(&***glob)) {
            // A namespace that the glob matches stands for all of them.
            let name: String = glob.chars().map(|c| if matches!(c, '*' | '?') { 'x' } else { c }).collect();
            if !policies.iter().any(|policy| covers(policy, &name)) {
                said.insert(&**glob);
                warn_uncovered(at, &format!("namespace {} is in no policy's scope", quoted(glob)), out);
                break;
            }
        }
    }
    // A name that nobody thinks of stands for all that are not named.
    let other = "some-other-namespace";
    if said.is_empty()
        && !policies.iter().any(|policy| covers(policy, other))
        && let Some(at) = policies.first().and_then(|policy| policy.scope.at)
    {
        warn_uncovered(at, "some namespaces are in no policy's scope", out);
    }
}

fn warn_uncovered(at: Span, message: &str, out: &mut Diagnostics) {
    out.push(
        Diagnostic::new(Code::W105, at, "spec.scope", message)
            .label("leaves it out")
            .help("add a policy for it, or run with `--on-missing-policy deny`"),
    );
}
