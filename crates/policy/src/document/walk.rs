//! Compares a document with its [`Shape`], member by member: what is unknown, missing, of the wrong type, badly written.

use std::time::Duration;

use nri_wire::field::{FIELDS, Field};

use super::node::{Entry, Node, Value};
use super::policy::Sha256;
use super::shape::{Kind, Need, Shape};
use super::source::Span;
use super::word::Invariant;
use super::{preset, rules};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, member, quoted};
use crate::rule::glob::Glob;
use crate::rule::quantity;

/// A walk over one document.
pub(crate) struct Walk<'o> {
    pub(crate) out: &'o mut Diagnostics,
    /// Where a missing member is said to be missing: the document's start, within `spec` that key.
    pub(crate) missing_at: Span,
}

impl Walk<'_> {
    /// Compares an object.
    pub(crate) fn object(&mut self, node: &Node, path: &str, shape: &Shape) {
        let Value::Map(entries) = &node.value else {
            return self.out.mismatch(node, path, &format!("a mapping for {}", shape.name));
        };
        for entry in entries {
            self.member(entry, path, shape);
        }
        for member in shape.members.iter().filter(|member| member.need == Need::Required) {
            if !entries.iter().any(|entry| &*entry.key == member.name) {
                self.missing(node, path, member.name, shape.name);
            }
        }
    }

    /// Says that an object lacks a member (E023).
    pub(crate) fn missing(&mut self, node: &Node, path: &str, name: &str, of: &str) {
        let at = self.missing_at;
        let mut found =
            Diagnostic::new(Code::E023, at, member(path, name), format!("{of} needs a member `{name}`"));
        if (node.span.start, node.span.file) == (at.start, at.file) {
            found.label = format!("`{name}` is missing");
        } else {
            let first = node.entries().first().map_or(node.span, Entry::span);
            found.related.push((first, format!("`{name}` is missing here")));
        }
        self.out.push(found);
    }

    fn member(&mut self, entry: &Entry, path: &str, shape: &Shape) {
        let Some(known) = shape.members.iter().find(|member| member.name == &*entry.key) else {
            let names: Vec<&str> =
                shape.members.iter().filter(|m| m.need != Need::Later).map(|member| member.name).collect();
            return self.out.unknown(entry, path, &names);
        };
        let path = member(path, &entry.key);
        if known.need == Need::Later {
            let message = format!("{} is not built yet", quoted(&entry.key));
            let found = Diagnostic::new(Code::E061, entry.key_span, path, message)
                .label(known.about)
                .help("take it out: nothing would enforce it");
            return self.out.push(found);
        }
        let outside = self.missing_at;
        if &*entry.key == "spec" {
            self.missing_at = entry.key_span;
        }
        self.value(&entry.value, &path, known.kind);
        self.missing_at = outside;
    }

    fn value(&mut self, node: &Node, path: &str, kind: Kind) {
        match kind {
            Kind::Any => {}
            Kind::Text => self.text(node, path, "text", |_| true),
            Kind::Name => self.text(node, path, "a name in one line", is_name),
            Kind::Digest => {
                self.text(node, path, "a digest of 64 hexadecimal digits", |text| {
                    Sha256::parse(text).is_some()
                });
            }
            Kind::Index => self.written(node, path, "two digits, \"10\"", |text| {
                text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())
            }),
            Kind::Bool => {
                if node.bool().is_none() {
                    self.out.mismatch(node, path, "true or false");
                }
            }
            Kind::Integer => self.written(node, path, "a whole number", |text| text.parse::<i64>().is_ok()),
            Kind::Ids => self.ids(node, path),
            Kind::Amount => self.quantity(node, path, "a number, with `k M G T` or `Ki Mi Gi Ti`", |text| {
                amount(text).is_some()
            }),
            Kind::Duration => {
                self.quantity(node, path, "a duration such as `2m` or `1m30s`", |text| {
                    duration(text).is_some()
                });
            }
            Kind::Words(words) => {
                if !node.text().is_some_and(|text| words.contains(&text)) && !node.is_broken() {
                    self.out.not_one_of(node, path, words);
                }
            }
            Kind::Invariant => self.known(node, path, "an invariant", Invariant::WORDS),
            Kind::Preset => self.preset(node, path),
            Kind::Field => self.field(node, path),
            Kind::Glob => self.text(node, path, "a glob", |_| true),
            Kind::PathGlob => self.path_glob(node, path),
            Kind::Labels => self.labels(node, path),
            Kind::List(kind) => self.list(node, path, *kind),
            Kind::Object(shape) => self.object(node, path, shape),
            Kind::Grant(shape) => match node.text() {
                Some(_) if !matches!(node.text(), Some("allow" | "deny")) => {
                    self.out.not_one_of(node, path, &["allow", "deny"]);
                }
                Some(_) => {}
                None => self.object(node, path, shape),
            },
            Kind::Rules => rules::check(self, node, path),
        }
    }

    fn list(&mut self, node: &Node, path: &str, kind: Kind) {
        let Value::List(items) = &node.value else {
            return self.out.mismatch(node, path, "a list");
        };
        for (index, item) in items.iter().enumerate() {
            self.value(item, &format!("{path}[{index}]"), kind);
        }
    }

    fn text(&mut self, node: &Node, path: &str, expected: &str, fits: impl FnOnce(&str) -> bool) {
        match node.text() {
            None => self.out.mismatch(node, path, expected),
            Some(text) if fits(text) => {}
            Some(text) => self.unfit(node, path, Code::E024, text, expected),
        }
    }

    fn written(&mut self, node: &Node, path: &str, expected: &str, fits: impl FnOnce(&str) -> bool) {
        match node.word() {
            None => self.out.mismatch(node, path, expected),
            Some(text) if fits(text) => {}
            Some(text) => self.unfit(node, path, Code::E024, text, expected),
        }
    }

    fn quantity(&mut self, node: &Node, path: &str, expected: &str, fits: impl FnOnce(&str) -> bool) {
        match node.word() {
            None => self.out.mismatch(node, path, expected),
            Some(text) if fits(text) => {}
            Some(text) => self.unfit(node, path, Code::E031, text, expected),
        }
    }

    fn unfit(&mut self, node: &Node, path: &str, code: Code, text: &str, expected: &str) {
        let message = format!("{} is not {expected}", quoted(text));
        self.out.push(Diagnostic::new(code, node.span, path, message).label(format!("expected {expected}")));
    }

    fn ids(&mut self, node: &Node, path: &str) {
        const EXPECTED: &str = "a user or group number";
        let mut id = |node: &Node, path: &str| {
            self.written(node, path, EXPECTED, |text| text.parse::<u32>().is_ok());
        };
        match &node.value {
            Value::List(items) => {
                items.iter().enumerate().for_each(|(index, item)| id(item, &format!("{path}[{index}]")));
            }
            _ => id(node, path),
        }
    }

    fn known(&mut self, node: &Node, path: &str, what: &str, words: &[&str]) {
        match node.text() {
            None => self.out.mismatch(node, path, what),
            Some(text) if words.contains(&text) => {}
            Some(text) => {
                let mut found =
                    Diagnostic::new(Code::E022, node.span, path, format!("{} is not {what}", quoted(text)))
                        .label("not known")
                        .suggest(text, words.iter().copied());
                if found.suggestion.is_none() {
                    found = found.help(format!("known are {}", words.join(", ")));
                }
                self.out.push(found);
            }
        }
    }

    fn preset(&mut self, node: &Node, path: &str) {
        if node.text().and_then(preset::find).is_none() {
            let names: Vec<String> = preset::PRESETS.iter().map(preset::Preset::full_name).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            self.known(node, path, "a preset", &names);
        }
    }

    fn field(&mut self, node: &Node, path: &str) {
        match node.text() {
            None => self.out.mismatch(node, path, "the name of a field"),
            Some(name) if Field::from_name(name).is_some() => {}
            Some(name) => self.out.push(
                Diagnostic::new(Code::E021, node.span, path, format!("unknown field {}", quoted(name)))
                    .label("not an NRI field")
                    .suggest(name, FIELDS.iter().map(|info| info.name)),
            ),
        }
    }

    fn path_glob(&mut self, node: &Node, path: &str) {
        match node.text() {
            None => self.out.mismatch(node, path, "a glob for paths"),
            Some(text) if Glob::path(text).is_ok() => {}
            Some(text) => self.out.push(
                Diagnostic::new(Code::E030, node.span, path, format!("bad glob {}", quoted(text)))
                    .label("`**` stands alone between slashes"),
            ),
        }
    }

    fn labels(&mut self, node: &Node, path: &str) {
        if !matches!(node.value, Value::Map(_)) {
            return self.out.mismatch(node, path, "a mapping of labels");
        }
        for entry in node.entries().iter().filter(|entry| entry.value.text().is_none()) {
            self.out.mismatch(&entry.value, &member(path, &entry.key), "text");
        }
    }
}

/// A text of one line that is not empty.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control)
}

/// A number that is not negative.
pub(crate) fn amount(text: &str) -> Option<u64> {
    u64::try_from(quantity::number(text).ok()?).ok()
}

/// A duration: numbers with `h`, `m`, `s` or `ms`, one after the other.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (digits, tail) = rest.split_at(end);
        let count: u64 = digits.parse().ok()?;
        let (unit, tail) = tail.split_at(tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len()));
        let part = match unit {
            "h" => Duration::from_secs(count.checked_mul(3600)?),
            "m" => Duration::from_secs(count.checked_mul(60)?),
            "s" => Duration::from_secs(count),
            "ms" => Duration::from_millis(count),
            _ => return None,
        };
        sum = sum.checked_add(part)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(sum)
}
