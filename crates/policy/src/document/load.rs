//! Files to policies: what each document is, whether it holds together, whether all do.

use std::sync::Arc;

use super::node::{self, Node, Value};
use super::policy::Policy;
use super::source::{Position, Sources, Span};
use super::walk::Walk;
use super::{check, extend, hash, lint, preset, read, shape};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, quoted};
use crate::host::Host;

/// The version of documents that is read.
pub const API_VERSION: &str = "policy.nri-rs/v1alpha1";
const POLICY: &str = "PluginPolicy";
const TEST: &str = "PluginPolicyTest";

/// A file that somebody has read for us.
#[derive(Clone, Debug)]
pub struct File {
    /// How it is called in diagnostics.
    pub name: String,
    /// What it holds; of a longer one than [`node::BYTES`] anything longer than that will do.
    pub content: Vec<u8>,
    /// Why its content cannot be trusted: an owner who is neither root nor the user, or others that can write to it. One
    /// line (E010).
    pub distrust: Option<String>,
}

/// What files hold.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The files.
    pub sources: Sources,
    /// What is wrong with them, sorted by file and line.
    pub diagnostics: Diagnostics,
    /// The policies by name, those with errors too.
    pub policies: Vec<Policy>,
    /// How many files were read.
    pub files: usize,
    /// Documents of the kind `PluginPolicyTest`, which are not looked into.
    pub tests: Vec<Node>,
}

/// Policies that loaded without errors.
#[derive(Clone, Debug)]
pub struct PolicySet {
    /// By name.
    pub policies: Vec<Arc<Policy>>,
    /// Their files.
    pub sources: Sources,
    /// SHA-256 of what they say, in hexadecimal (`policy.md` 9, "Policy hash").
    pub hash: Box<str>,
}

/// Reads files, in this order. Whoever loads for enforcement takes [`Loaded::into_set`].
#[must_use]
pub fn load(files: Vec<File>, host: &dyn Host) -> Loaded {
    let mut loaded = Loaded { files: files.len(), ..Loaded::default() };
    for file in files {
        let Loaded { sources, diagnostics: out, .. } = &mut loaded;
        let text = String::from_utf8_lossy(&file.content);
        let id = sources.add(&file.name, &text);
        if let Some(reason) = file.distrust {
            out.push(
                Diagnostic::new(Code::E010, Span::start_of(id), "", reason)
                    .help("`chown root FILE; chmod go-w FILE`: who can write it can lift the lock"),
            );
        }
        if let Err(error) = std::str::from_utf8(&file.content) {
            let at = after(file.content.get(..error.valid_up_to()).unwrap_or_default());
            let span = Span { file: id, start: at, end: at };
            out.push(Diagnostic::new(Code::E013, span, "", "not UTF-8").label("no character of UTF-8"));
            continue;
        }
        for document in node::read(id, &text, out) {
            loaded.document(&document, host);
        }
    }
    check::policies(&loaded.policies, &mut loaded.diagnostics);
    lint::policies(&loaded.policies.iter().collect::<Vec<_>>(), &mut loaded.diagnostics);
    loaded.policies.sort_by(|a, b| a.name.value.cmp(&b.name.value));
    loaded.diagnostics.sort(&loaded.sources);
    loaded
}

impl Loaded {
    /// The policies, if there is no error. Without any policy those of `preset/compat`.
    ///
    /// # Errors
    /// There are errors: all of this, so that they can be shown.
    pub fn into_set(self) -> Result<PolicySet, Box<Self>> {
        if self.diagnostics.errors() > 0 {
            return Err(Box::new(self));
        }
        if self.policies.is_empty() {
            return Ok(PolicySet::compat());
        }
        Ok(PolicySet::new(self.policies, self.sources))
    }

    /// The first digits of the hash of what is in force, if there is no error.
    #[must_use]
    pub fn short_hash(&self) -> Option<String> {
        let compat = || PolicySet::compat().hash.into();
        let hash = if self.policies.is_empty() { compat() } else { hash::of(&self.policies) };
        (self.diagnostics.errors() == 0).then(|| hash.chars().take(hash::SHORT).collect())
    }

    fn document(&mut self, root: &Node, host: &dyn Host) {
        let out = &mut self.diagnostics;
        if !matches!(root.value, Value::Map(_)) {
            return out.mismatch(root, "", "a policy document");
        }
        match kind(root, out) {
            Some(TEST) => self.tests.push(root.clone()),
            Some(_) => {
                let policy = policy(root, &mut self.sources, host, out);
                self.policies.push(policy);
            }
            None => {}
        }
    }
}

impl PolicySet {
    /// The policy that is in force where there is none: everything is allowed, everything is recorded.
    #[must_use]
    pub fn compat() -> Self {
        let mut sources = Sources::default();
        let compat = preset::find("preset/compat").and_then(|preset| preset.document(&mut sources));
        let mut out = Diagnostics::default();
        let policies =
            compat.map(|root| policy(&root, &mut Sources::default(), &crate::host::NoHost, &mut out));
        Self::new(policies.into_iter().collect(), sources)
    }

    fn new(policies: Vec<Policy>, sources: Sources) -> Self {
        let hash = hash::of(&policies).into();
        Self { policies: policies.into_iter().map(Arc::new).collect(), sources, hash }
    }

    /// The first digits of the hash, as messages show it.
    #[must_use]
    pub fn short_hash(&self) -> &str {
        self.hash.get(..hash::SHORT).unwrap_or(&self.hash)
    }
}

/// The kind of a document, if it is one of ours.
fn kind<'n>(root: &'n Node, out: &mut Diagnostics) -> Option<&'n str> {
    let mut read = |name: &str, known: &[&str], help: &str| {
        let node = root.get(name)?;
        let Some(text) = node.text().filter(|text| known.contains(text)) else {
            if !node.is_broken() {
                let found = node.word().map_or_else(|| node.kind().to_owned(), quoted);
                out.push(
                    Diagnostic::new(Code::E020, node.span, name, format!("unknown `{name}`: {found}"))
                        .label(format!("expected {}", known.join(" or ")))
                        .suggest(node.word().unwrap_or_default(), known.iter().copied())
                        .help(help),
                );
            }
            return Some(None);
        };
        Some(Some(text))
    };
    let version = read("apiVersion", &[API_VERSION], "a newer version needs a newer `nri`");
    let kind = read("kind", &[POLICY, TEST], "other kinds do not belong among policies");
    match (version, kind) {
        (Some(None), _) | (_, Some(None)) => None,
        (_, Some(kind)) => kind,
        // The walk says what is missing.
        (_, None) => Some(POLICY),
    }
}

/// Reads and checks one policy.
fn policy(root: &Node, sources: &mut Sources, host: &dyn Host, out: &mut Diagnostics) -> Policy {
    let first = root.entries().first().map_or(root.span, |entry| entry.key_span);
    Walk { out, missing_at: Span { start: root.span.start, ..first } }.object(root, "", &shape::DOCUMENT);
    check::require(root, out);
    let empty = Node { span: root.span, value: Value::Map(Vec::new()) };
    let own = root.get("spec").unwrap_or(&empty);
    let preset = own.get("extends").and_then(Node::text).and_then(preset::find);
    let joined = preset.and_then(|preset| Some(preset::join(own, preset.document(sources)?.get("spec")?)));
    let mut policy = read::policy(root, joined.as_ref().unwrap_or(own));
    extend::levels(&mut policy, out);
    extend::edit_rule(&mut policy);
    check::policy(&policy, out);
    lint::policy(&policy, host, out);
    policy
}

/// The place after some text.
fn after(text: &[u8]) -> Position {
    let text = String::from_utf8_lossy(text);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).saturating_add(1);
    let last = text.rsplit('\n').next().unwrap_or_default();
    Position { line: count(text.matches('\n').count()), column: count(last.chars().count()) }
}
