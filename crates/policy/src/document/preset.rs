//! The built-in policies, and how a policy takes one over (`policy.md` 1, "Presets").

use super::node::{self, Entry, Node, Value};
use super::source::Sources;
use crate::diagnostic::Diagnostics;

/// A built-in policy.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Preset {
    /// Its name without version.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The document.
    pub text: &'static str,
}

/// The built-in policies; of one name the newest comes first.
pub const PRESETS: &[Preset] = &[
    Preset { name: "compat", version: "v1", text: include_str!("../../presets/compat.yaml") },
    Preset { name: "baseline", version: "v1", text: include_str!("../../presets/baseline.yaml") },
    Preset { name: "restricted", version: "v1", text: include_str!("../../presets/restricted.yaml") },
];

/// The preset of a name such as `preset/baseline@v1`; without version the newest.
#[must_use]
pub fn find(name: &str) -> Option<&'static Preset> {
    let name = name.strip_prefix("preset/")?;
    let (name, version) = match name.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (name, None),
    };
    PRESETS
        .iter()
        .find(|preset| preset.name == name && version.is_none_or(|version| version == preset.version))
}

impl Preset {
    /// `preset/baseline@v1`
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("preset/{}@{}", self.name, self.version)
    }

    /// What it is for: the first line of its text.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.text.lines().next().and_then(|line| line.split_once(": ")).map_or("", |(_, about)| about)
    }

    /// Its document, under a name of its own among the files. Built-in texts have no mistakes.
    pub(crate) fn document(&self, sources: &mut Sources) -> Option<Node> {
        let file = sources.add(&self.full_name(), self.text);
        node::read(file, self.text, &mut Diagnostics::default()).pop()
    }
}

/// Joins a `spec` with a preset's: scalars and mappings of one's own win, lists of objects are joined by name, lists of
/// names are joined.
pub(crate) fn join(own: &Node, preset: &Node) -> Node {
    let mut entries = own.entries().to_vec();
    for taken in preset.entries() {
        match entries.iter_mut().find(|entry| entry.key == taken.key) {
            None => entries.push(taken.clone()),
            Some(entry) => {
                let value = match identifier(&entry.key) {
                    Joined::By(name) => by_name(&entry.value, &taken.value, name),
                    Joined::Names => names(&entry.value, &taken.value),
                    Joined::Members => members(&entry.value, &taken.value),
                    Joined::Not => continue,
                };
                *entry = Entry { value, ..entry.clone() };
            }
        }
    }
    Node { span: own.span, value: Value::Map(entries) }
}

enum Joined {
    /// A list of objects that are told apart by this member.
    By(&'static str),
    /// A list of names.
    Names,
    /// A mapping of scalars.
    Members,
    /// The own value stands.
    Not,
}

fn identifier(key: &str) -> Joined {
    match key {
        "levels" | "identities" => Joined::By("name"),
        "require" => Joined::By("plugin"),
        "invariants" => Joined::Names,
        "limits" => Joined::Members,
        _ => Joined::Not,
    }
}

fn by_name(own: &Node, preset: &Node, name: &str) -> Node {
    let has = |item: &Node| {
        own.items().iter().any(|other| other.get(name).map(Node::text) == item.get(name).map(Node::text))
    };
    let taken = preset.items().iter().filter(|item| !has(item));
    Node { span: own.span, value: Value::List(own.items().iter().chain(taken).cloned().collect()) }
}

fn names(own: &Node, preset: &Node) -> Node {
    let taken =
        preset.items().iter().filter(|item| !own.items().iter().any(|other| other.text() == item.text()));
    Node { span: own.span, value: Value::List(own.items().iter().chain(taken).cloned().collect()) }
}

fn members(own: &Node, preset: &Node) -> Node {
    let taken = preset.entries().iter().filter(|entry| own.entry(&entry.key).is_none());
    Node { span: own.span, value: Value::Map(own.entries().iter().chain(taken).cloned().collect()) }
}
