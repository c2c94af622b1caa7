//! Reading rules from a document, with everything that is wrong in them.

mod leaf;

use nri_wire::field::Field;

use self::leaf::{
    access, device_patterns, digest, file_mode, globs, id_set, name, names, natural, numbers, options,
    quantity, ratio, subset, text, truth,
};
pub(super) use self::leaf::{path_glob, text_glob, word};
use super::matching::{Check, Resolve, Test};
use super::quantity::Quantity;
use super::seccomp::SeccompRule;
use super::set::Set;
use super::table::{self, Bounds, Count, Kind as MemberKind, Member};
use super::{Bound, Changes, Expand, Expansion, FieldKey, Kind, Match, Mode, Named, OnViolation, Ops, Rule};
use crate::change::Subject;
use crate::diagnostic::{Code, Diagnostic, Diagnostics, member, quoted};
use crate::document::node::{Entry, Node, Value};
use crate::document::source::Span;
use crate::path::clean;

/// Members of every RULE.
const COMMON: [&str; 5] = ["mode", "onViolation", "id", "message", "when"];
/// Members of a RULE for a field.
const FIELD: [&str; 9] = ["allow", "deny", "ops", "bound", "mode", "onViolation", "id", "message", "when"];
/// Members of a RULE for CDI devices.
const CDI: [&str; 12] = [
    "allow",
    "deny",
    "ops",
    "bound",
    "expand",
    "specDirs",
    "specOwner",
    "mode",
    "onViolation",
    "id",
    "message",
    "when",
];
/// Members of a RULE for a group.
const GROUP: [&str; 7] = ["ops", "bound", "mode", "onViolation", "id", "message", "when"];

/// What every RULE, and every entry of `updates`, may have beside its own.
#[derive(Debug, Default)]
pub(super) struct Common {
    pub(super) mode: Option<Mode>,
    pub(super) on_violation: Option<OnViolation>,
    pub(super) id: Option<String>,
    pub(super) message: Option<String>,
}

impl Rule {
    /// Reads what a level says about a key. `at` is where the key stands, `path` the way to it. `None` only if there is
    /// an error among the diagnostics.
    #[must_use]
    pub fn read(key: FieldKey, at: Span, node: &Node, path: &str, out: &mut Diagnostics) -> Option<Self> {
        if key == FieldKey::Subject(Subject::Field(Field::Seccomp)) {
            return SeccompRule::read(at, node, path, out);
        }
        let rule =
            |kind| Self { key, at, kind, mode: None, on_violation: None, named: Named::Key, message: None };
        match &node.value {
            Value::Text(word) => match &**word {
                "allow" => Some(rule(Kind::Changes(Changes::ALLOW))),
                "deny" => Some(rule(Kind::Deny)),
                _ => {
                    out.not_one_of(node, path, &["allow", "deny"]);
                    None
                }
            },
            Value::Map(entries) => {
                let mut common = Common::default();
                let mut changes = Changes::ALLOW;
                for entry in entries {
                    if !common.take(entry, path, out) {
                        take(&mut changes, key, entry, path, out);
                    }
                }
                Some(common.into_rule(key, at, Kind::Changes(changes)))
            }
            _ => {
                out.mismatch(node, path, "`allow`, `deny` or a mapping");
                None
            }
        }
    }
}

impl Common {
    /// Takes a member that every rule has. False: it is none.
    pub(super) fn take(&mut self, entry: &Entry, path: &str, out: &mut Diagnostics) -> bool {
        let at = member(path, &entry.key);
        match &*entry.key {
            "mode" => self.mode = word(&entry.value, &at, &Mode::NAMES, out),
            "onViolation" => self.on_violation = word(&entry.value, &at, &OnViolation::NAMES, out),
            "id" => self.id = name(&entry.value, &at, out),
            "message" => self.message = text(&entry.value, &at, out),
            "when" => not_built(entry, path, "conditions in CEL", out),
            _ => return false,
        }
        true
    }

    pub(super) fn into_rule(self, key: FieldKey, at: Span, kind: Kind) -> Rule {
        Rule {
            key,
            at,
            kind,
            mode: self.mode,
            on_violation: self.on_violation,
            named: self.id.map_or(Named::Key, Named::Id),
            message: self.message,
        }
    }

    /// The names of the members.
    pub(super) const fn names() -> [&'static str; 5] {
        COMMON
    }
}

fn take(changes: &mut Changes, key: FieldKey, entry: &Entry, path: &str, out: &mut Diagnostics) {
    let at = member(path, &entry.key);
    let is_cdi = key == FieldKey::Subject(Subject::Field(Field::CdiDevices));
    match &*entry.key {
        "allow" if key.is_exact() => changes.allow = matches(key, &entry.value, &at, out),
        "deny" if key.is_exact() => {
            changes.deny = matches(key, &entry.value, &at, out).unwrap_or_default();
        }
        "allow" | "deny" => out.push(
            Diagnostic::new(
                Code::E021,
                entry.key_span,
                at,
                format!("{} has no values to match", quoted(key.name())),
            )
            .label("not in a group")
            .help("write a rule for the field itself; the most specific key decides"),
        ),
        "ops" => changes.ops = ops(&entry.value, &at, out),
        "bound" => changes.bound = bound(key, entry, &at, out),
        "expand" if is_cdi => changes.expand = expand(&entry.value, &at, out),
        "specDirs" | "specOwner" if is_cdi => not_built(entry, path, "looking into CDI files", out),
        _ if is_cdi => out.unknown(entry, path, &CDI),
        _ if key.is_exact() => out.unknown(entry, path, &FIELD),
        _ => out.unknown(entry, path, &GROUP),
    }
}

fn matches(key: FieldKey, node: &Node, path: &str, out: &mut Diagnostics) -> Option<Vec<Match>> {
    let Value::List(items) = &node.value else {
        out.mismatch(node, path, "a list");
        return Some(Vec::new());
    };
    let read = |(at, item): (usize, &Node)| one_match(key, item, &format!("{path}[{at}]"), out);
    Some(items.iter().enumerate().filter_map(read).collect())
}

fn one_match(key: FieldKey, node: &Node, path: &str, out: &mut Diagnostics) -> Option<Match> {
    let (field, sets, members) = match key {
        FieldKey::Subject(Subject::Field(field)) => {
            let row = table::of(field);
            (Some(field), row.sets, row.members)
        }
        _ => (None, &[] as &[Set], &[] as &[Member]),
    };
    match &node.value {
        Value::Map(entries) => {
            let mut found = Match::default();
            for entry in entries {
                match members.iter().find(|member| member.name == &*entry.key) {
                    Some(known) => take_member(&mut found, field, known, entry, path, out),
                    None => {
                        let known: Vec<&str> = members.iter().map(|member| member.name).collect();
                        out.unknown(entry, path, &known);
                    }
                }
            }
            Some(found)
        }
        Value::Text(name) => match sets.iter().find(|set| set.name() == &**name) {
            Some(set) => Some(Match { set: Some(*set), ..Match::default() }),
            None => {
                out.push(unknown_set(node, name, sets, path));
                None
            }
        },
        _ => {
            out.mismatch(node, path, "a mapping or the name of a built-in set");
            None
        }
    }
}

fn unknown_set(node: &Node, name: &str, sets: &[Set], path: &str) -> Diagnostic {
    let elsewhere = Set::from_name(name).is_some();
    let message = if elsewhere {
        format!("{} is no set of this field", quoted(name))
    } else {
        format!("unknown set {}", quoted(name))
    };
    let names: Vec<&str> = sets.iter().map(|set| set.name()).collect();
    let diagnostic = Diagnostic::new(Code::E022, node.span, path, message)
        .label("not a set of this field")
        .suggest(name, names.iter().copied());
    match names.as_slice() {
        [] => diagnostic.help("the field has no built-in sets; write a mapping"),
        names => diagnostic.help(format!("sets of this field: {}", names.join(", "))),
    }
}

fn take_member(
    found: &mut Match,
    field: Option<Field>,
    known: &Member,
    entry: &Entry,
    path: &str,
    out: &mut Diagnostics,
) {
    let at = member(path, &entry.key);
    let node = &entry.value;
    let bounds = field.and_then(|field| table::of(field).bounds);
    let check = match known.kind {
        MemberKind::Resolve => {
            found.resolve =
                word(node, &at, &[("real", Resolve::Real), ("no-symlinks", Resolve::NoSymlinks)], out);
            return;
        }
        MemberKind::CutAccess => {
            found.access = access(node, &at, out);
            return;
        }
        MemberKind::Min(count) | MemberKind::Max(count) => {
            let is_min = matches!(known.kind, MemberKind::Min(_));
            return limit(found, known, is_min, count, bounds, entry, &at, out);
        }
        MemberKind::Glob(part) => text_glob(node, &at, out).map(|glob| Check::Glob(part, glob)),
        MemberKind::PathGlob(part) => path_glob(node, &at, out).map(|glob| Check::Glob(part, glob)),
        MemberKind::Names(part, words) => {
            names(node, &at, words, out).map(|names| Check::Names(part, words, names))
        }
        MemberKind::Flags(words) => names(node, &at, words, out).map(|names| Check::Flags(words, names)),
        MemberKind::Truth => truth(node, &at, out).map(Check::Truth),
        MemberKind::Effect => word(node, &at, &[("allow", true), ("deny", false)], out).map(Check::Effect),
        MemberKind::Range(count) => range(node, &at, bounds, out).map(|bound| Check::Limit(count, bound)),
        MemberKind::MaxBytes => natural(node, &at, out).map(Check::MaxBytes),
        MemberKind::Options => options(node, &at, out),
        MemberKind::Sha256 => digest(node, &at, out).map(Check::Sha256),
        MemberKind::ArgGlobs => globs(node, &at, out).map(Check::ArgGlobs),
        MemberKind::EnvGlobs => globs(node, &at, out).map(Check::EnvGlobs),
        MemberKind::TimeoutMax => natural(node, &at, out)
            .map(|seconds| Check::TimeoutMax(i64::try_from(seconds).unwrap_or(i64::MAX))),
        MemberKind::HostNode => path_glob(node, &at, out).map(Check::HostNode),
        MemberKind::DeviceNumber => device_patterns(node, &at, out).map(Check::DeviceNumber),
        MemberKind::FileMode => file_mode(node, &at, out).map(Check::FileMode),
        MemberKind::Uid => numbers(node, &at, out).map(Check::Uid),
        MemberKind::Gid => numbers(node, &at, out).map(Check::Gid),
        MemberKind::Access => access(node, &at, out).map(Check::Access),
        MemberKind::StartsWith => word(node, &at, &[("requested", Check::StartsWith)], out),
        MemberKind::EndsWith => word(node, &at, &[("requested", Check::EndsWith)], out),
        MemberKind::Ratio => ratio(node, &at, out).map(Check::Ratio),
        MemberKind::SubsetOf => subset(node, &at, out).map(Check::SubsetOf),
        MemberKind::MinCount => natural(node, &at, out).map(Check::MinCount),
        MemberKind::Exclude => id_set(node, &at, out).map(Check::Exclude),
        MemberKind::Prefix => text(node, &at, out).map(|prefix| Check::Prefix(clean(&prefix).into_owned())),
    };
    found.tests.extend(check.map(|check| Test { member: known.name, check }));
}

/// `min` and `max` of a MATCH make one test.
#[expect(clippy::too_many_arguments, reason = "one place for both ends")]
fn limit(
    found: &mut Match,
    known: &Member,
    is_min: bool,
    count: Count,
    bounds: Option<Bounds>,
    entry: &Entry,
    path: &str,
    out: &mut Diagnostics,
) {
    let Some(quantity) = quantity(entry, path, bounds, out) else { return };
    let index = found.tests.iter().position(|test| matches!(test.check, Check::Limit(at, _) if at == count));
    let index = index.unwrap_or_else(|| {
        let check = Check::Limit(count, Bound::default());
        found.tests.push(Test { member: known.name, check });
        found.tests.len() - 1
    });
    if let Some(Test { check: Check::Limit(_, bound), .. }) = found.tests.get_mut(index) {
        let end = if is_min { &mut bound.min } else { &mut bound.max };
        *end = Some(quantity);
        check_order(*bound, bounds, entry, path, out);
    }
}

/// A bound that nothing meets.
fn check_order(bound: Bound, bounds: Option<Bounds>, at: &Entry, path: &str, out: &mut Diagnostics) {
    let amount = |quantity| match quantity {
        Some(Quantity::Number(n)) if n < 0 && bounds.is_some_and(|b| b.negative_is_unlimited) => {
            Some(super::quantity::Amount::Unlimited)
        }
        Some(Quantity::Number(n)) => Some(super::quantity::Amount::Finite(n)),
        _ => None,
    };
    let impossible = match (bound.min, bound.max) {
        (Some(Quantity::Percent(min)), Some(Quantity::Percent(max))) => min > max,
        (min, max) => amount(min).zip(amount(max)).is_some_and(|(min, max)| min > max),
    };
    if impossible {
        out.push(
            Diagnostic::new(Code::E032, at.key_span, path, "`min` is above `max`")
                .label("nothing is within")
                .help("swap them"),
        );
    }
}

fn bound(key: FieldKey, entry: &Entry, path: &str, out: &mut Diagnostics) -> Option<Bound> {
    let fields = key.fields();
    let exact = key.is_exact();
    let numeric = || fields.iter().filter_map(|field| table::of(*field).bounds);
    if numeric().next().is_none() {
        out.push(
            Diagnostic::new(
                Code::E032,
                entry.key_span,
                path,
                format!("{} has no numbers", quoted(key.name())),
            )
            .label("no bound for it"),
        );
        return None;
    }
    let mut bounds = numeric().next();
    if !exact {
        // The same number means different things in different fields; only what all have counts.
        bounds = bounds.map(|bounds| Bounds {
            host: false,
            negative_is_unlimited: numeric().all(|other| other.negative_is_unlimited),
            ..bounds
        });
    }
    range(&entry.value, path, bounds, out)
}

fn range(node: &Node, path: &str, bounds: Option<Bounds>, out: &mut Diagnostics) -> Option<Bound> {
    let Value::Map(entries) = &node.value else {
        out.mismatch(node, path, "a mapping with `min` or `max`");
        return None;
    };
    let mut bound = Bound::default();
    for entry in entries {
        let at = member(path, &entry.key);
        let end = match &*entry.key {
            "min" => &mut bound.min,
            "max" => &mut bound.max,
            _ => {
                out.unknown(entry, path, &["min", "max"]);
                continue;
            }
        };
        *end = quantity(entry, &at, bounds, out);
        check_order(bound, bounds, entry, &at, out);
    }
    if entries.is_empty() {
        out.mismatch(node, path, "`min` or `max`");
    }
    Some(bound)
}

fn ops(node: &Node, path: &str, out: &mut Diagnostics) -> Ops {
    let mut ops = Ops::NONE;
    let Value::List(items) = &node.value else {
        out.mismatch(node, path, "a list of `add`, `replace`, `remove`");
        return ops;
    };
    for (at, item) in items.iter().enumerate() {
        match item.text() {
            Some("add") => ops.add = true,
            Some("replace") => ops.replace = true,
            Some("remove") => ops.remove = true,
            _ => out.not_one_of(item, &format!("{path}[{at}]"), &["add", "replace", "remove"]),
        }
    }
    ops
}

fn expand(node: &Node, path: &str, out: &mut Diagnostics) -> Option<Expand> {
    let Value::Map(entries) = &node.value else {
        out.mismatch(node, path, "a mapping of `hooks`, `mounts`, `devices`, `env`");
        return None;
    };
    let inherit = Expansion::Inherit;
    let mut expand = Expand { hooks: inherit, mounts: inherit, devices: inherit, env: inherit };
    const WORDS: [(&str, Expansion); 3] =
        [("deny", Expansion::Deny), ("inherit", Expansion::Inherit), ("allow", Expansion::Allow)];
    for entry in entries {
        let kind = match &*entry.key {
            "hooks" => &mut expand.hooks,
            "mounts" => &mut expand.mounts,
            "devices" => &mut expand.devices,
            "env" => &mut expand.env,
            _ => {
                out.unknown(entry, path, &["hooks", "mounts", "devices", "env"]);
                continue;
            }
        };
        if let Some(word) = word(&entry.value, &member(path, &entry.key), &WORDS, out) {
            *kind = word;
        }
    }
    Some(expand)
}

pub(crate) fn not_built(entry: &Entry, path: &str, what: &str, out: &mut Diagnostics) {
    out.push(
        Diagnostic::new(
            Code::E061,
            entry.key_span,
            member(path, &entry.key),
            format!("{what}: not built yet"),
        )
        .label("nothing would enforce it"),
    );
}
