//! A policy as it is in force: defaults filled in, presets and levels extended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::node::Node;
use super::source::Span;
use super::word::{
    ClientOverride, EditRule, FailurePolicy, Invariant, Meaning, Mode, OnViolation, Proof, UnconfinedMeans,
    Unenforceable, UpdateKind,
};
use crate::rule::glob::Glob;
use crate::rule::{FieldKey, Rule};

/// Something that was read, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// What was read.
    pub value: T,
    /// Where it stands.
    pub at: Span,
}

/// One policy.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    /// `metadata.name`: key and value.
    pub name: At<Box<str>>,
    /// `metadata.labels`.
    pub labels: BTreeMap<Box<str>, Box<str>>,
    /// The key `spec`.
    pub spec_at: Span,
    /// The preset whose `spec` was taken over.
    pub extends: Option<At<Box<str>>>,
    /// What becomes of violations, where neither rule nor level says.
    pub mode: Mode,
    /// What becomes of what cannot be judged.
    pub failure: FailurePolicy,
    /// What becomes of rules that cannot be enforced.
    pub unenforceable: Unenforceable,
    /// Whether plugins may change what the client gave.
    pub client_override: ClientOverride,
    /// What the client means by an unconfined seccomp profile.
    pub unconfined_means: UnconfinedMeans,
    /// The file with the seccomp policy that `tighten` takes as the base where the engine passes none.
    pub assumed_base: Option<At<Box<str>>>,
    /// The short form for `seccomp` of every level.
    pub edit_rule: Option<At<EditRule>>,
    /// The level of plugins that no identity matches.
    pub default_level: Option<At<Box<str>>>,
    /// The key `defaultLevel`.
    pub default_level_at: Option<Span>,
    /// Which containers the policy is about.
    pub scope: Scope,
    /// Who plugins are.
    pub identities: Vec<Identity>,
    /// What they may do.
    pub levels: Vec<Level>,
    /// What must hold of the end result, and where that is said.
    pub invariants: BTreeMap<Invariant, Span>,
    /// Which plugins must be there.
    pub require: Vec<Require>,
    /// How much one answer may hold.
    pub limits: Limits,
}

/// Which containers; every member given must hold.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Scope {
    /// The key `scope`, if there is one.
    pub at: Option<Span>,
    /// The pod's namespace.
    pub namespaces: Namespaces,
    /// Labels that the pod must have.
    pub labels: BTreeMap<Box<str>, Box<str>>,
}

/// Namespaces by globs.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Namespaces {
    /// One must match; `None`: all.
    pub include: Option<Vec<Box<str>>>,
    /// None may match.
    pub exclude: Vec<Box<str>>,
}

/// A plugin that is known by facts.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// Its name: key and value.
    pub name: At<Box<str>>,
    /// The level that it has.
    pub level: At<Box<str>>,
    /// By what it is known.
    pub matches: Match,
    /// Which identity wins where several match.
    pub priority: i64,
    /// Plugin names that nobody else may register.
    pub reserve: Vec<Box<str>>,
}

/// Facts that must hold together (`policy.md` 2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Match {
    /// One of these must hold; empty: nothing more is asked.
    pub any_of: Vec<Match>,
    /// Glob of the name it registers, without index.
    pub plugin_name: Option<Box<str>>,
    /// The index it registers, exactly.
    pub index: Option<Box<str>>,
    /// Glob of the name of the socket it uses.
    pub listener: Option<Box<str>>,
    /// The process that connected.
    pub peer: Option<Peer>,
    /// The container that the process runs in.
    pub pod: Option<Pod>,
    /// The file that we launched.
    pub launched: Option<Launched>,
}

/// What is asked of a connecting process. Never holds for a launched plugin (F2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Peer {
    /// Its user is one of these.
    pub uid: Option<Vec<u32>>,
    /// Its group is one of these.
    pub gid: Option<Vec<u32>>,
    /// One of its supplementary groups is one of these.
    pub groups: Option<Vec<u32>>,
    /// Path glob of its executable.
    pub exe: Option<Box<str>>,
    /// The executable's digest.
    pub exe_sha256: Option<Sha256>,
    /// Its LSM label, exactly.
    pub label: Option<Box<str>>,
    /// Glob of its systemd unit.
    pub systemd_unit: Option<Box<str>>,
    /// Glob of its cgroup.
    pub cgroup: Option<Box<str>>,
}

/// What is asked of the container that a process runs in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Pod {
    /// Glob of the pod's namespace.
    pub namespace: Option<Box<str>>,
    /// Glob of the pod's name.
    pub name: Option<Box<str>>,
    /// Labels that the pod must have.
    pub labels: BTreeMap<Box<str>, Box<str>>,
    /// Glob of the container's name.
    pub container: Option<Box<str>>,
    /// Digest of the container's image.
    pub image_digest: Option<Sha256>,
}

/// What is asked of a file that we launched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Launched {
    /// Path glob of the file, links resolved.
    pub path: Option<Box<str>>,
    /// Its digest.
    pub sha256: Option<Sha256>,
}

/// A SHA-256 digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sha256(pub [u8; 32]);

/// What plugins with this level may do.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// Its name: key and value.
    pub name: At<Box<str>>,
    /// The level that it extends.
    pub extends: Option<At<Box<str>>>,
    /// How well an identity must be proven to have it; key and value.
    pub require_proof: Option<At<Proof>>,
    /// Whether it may change what the client gave.
    pub may_override_client: Option<bool>,
    /// What becomes of violations, where the rule does not say.
    pub mode: Option<Mode>,
    /// What a violation does, where the rule does not say.
    pub on_violation: Option<OnViolation>,
    /// The rules.
    pub fields: BTreeMap<FieldKey, Arc<FieldRule>>,
    /// Which updates are granted.
    pub updates: BTreeMap<UpdateKind, Arc<Grant>>,
    /// It came in with a preset.
    pub preset: bool,
}

/// The rule of a key of `fields`.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldRule {
    /// The key, or that of the short form.
    pub key_at: Span,
    /// The rule; `None` if there is something wrong with it.
    pub rule: Option<Rule>,
    /// The rule as written.
    pub node: Node,
    /// Where it comes from.
    pub origin: Origin,
    /// The level that it stands in, by its place in the list.
    pub level: usize,
}

/// Where a rule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The policy itself.
    Own,
    /// A preset that it extends.
    Preset,
    /// `securityProfileEditRule`, which is also its id.
    EditRule,
}

/// What is said of a kind of update. What is not said is denied.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// Its key.
    pub at: Span,
    /// Whether it is granted at all.
    pub allow: bool,
    /// Globs of namespaces that targets must lie in; `None`: any.
    pub namespaces: Option<Vec<Box<str>>>,
    /// What becomes of violations.
    pub mode: Option<Mode>,
    /// What a violation does.
    pub on_violation: Option<OnViolation>,
    /// The rule's name in decisions.
    pub id: Option<Box<str>>,
}

/// A plugin that must be there.
#[derive(Clone, Debug, PartialEq)]
pub struct Require {
    /// An identity of this policy, else a plugin's name.
    pub plugin: At<Box<str>>,
    /// What it must have done.
    pub meaning: Meaning,
    /// Fields whose changes must have been applied.
    pub fields: Vec<nri_wire::field::Field>,
    /// Where it must be there.
    pub namespaces: Namespaces,
    /// Which pods may go without it.
    pub tolerate: Option<Tolerate>,
    /// For how long after boot it may be missing.
    pub grace: Option<Duration>,
}

/// Which pods may go without a required plugin: those with the annotation in these namespaces.
#[derive(Clone, Debug, PartialEq)]
pub struct Tolerate {
    /// The key `tolerate`.
    pub at: Span,
    /// The annotation's key.
    pub annotation: Box<str>,
    /// Globs of namespaces; with none it never holds.
    pub namespaces: Vec<Box<str>>,
}

/// How much one answer may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Changes of one container.
    pub changes_per_container: u64,
    /// Unsolicited updates of a plugin in a second.
    pub updates_per_second: u64,
    /// Bytes of an answer.
    pub response_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { changes_per_container: 256, updates_per_second: 50, response_bytes: 1 << 20 }
    }
}

impl Namespaces {
    /// Whether a namespace is among them.
    #[must_use]
    pub fn contain(&self, namespace: &str) -> bool {
        let any = |globs: &[Box<str>]| globs.iter().any(|glob| Glob::text(glob).is_match(namespace));
        self.include.as_deref().is_none_or(any) && !any(&self.exclude)
    }
}

impl Policy {
    /// The level of this name.
    #[must_use]
    pub fn level(&self, name: &str) -> Option<&Level> {
        self.levels.iter().find(|level| &*level.name.value == name)
    }
}

impl Match {
    /// Whether it goes by the digest of an executable.
    #[must_use]
    pub fn wants_digest(&self) -> bool {
        self.peer.as_ref().is_some_and(|peer| peer.exe_sha256.is_some())
            || self.launched.as_ref().is_some_and(|launched| launched.sha256.is_some())
            || self.any_of.iter().any(Self::wants_digest)
    }

    /// The proof of an identity that is matched by this: that of its strongest selector, with `anyOf` of the weakest
    /// alternative (`policy.md` 2).
    #[must_use]
    pub fn proof(&self) -> Proof {
        let peer = self.peer.as_ref().is_some_and(|peer| *peer != Peer::default());
        let own = [
            (self.listener.is_some() || peer).then_some(Proof::Medium),
            self.pod.as_ref().filter(|pod| **pod != Pod::default()).map(|pod| digest(pod.image_digest)),
            self.launched.as_ref().map(|launched| digest(launched.sha256)),
            self.any_of.iter().map(Self::proof).min(),
        ];
        own.into_iter().flatten().max().unwrap_or(Proof::Weak)
    }
}

impl Match {
    /// The selectors that are given, `pod.namespace`; those of alternatives are `anyOf`.
    #[must_use]
    pub fn selectors(&self) -> Vec<&'static str> {
        let none = (Peer::default(), Pod::default(), Launched::default());
        let peer = self.peer.as_ref().unwrap_or(&none.0);
        let pod = self.pod.as_ref().unwrap_or(&none.1);
        let launched = self.launched.as_ref().unwrap_or(&none.2);
        let given = [
            (!self.any_of.is_empty(), "anyOf"),
            (self.plugin_name.is_some(), "pluginName"),
            (self.index.is_some(), "index"),
            (self.listener.is_some(), "listener"),
            (peer.uid.is_some(), "peer.uid"),
            (peer.gid.is_some(), "peer.gid"),
            (peer.groups.is_some(), "peer.groups"),
            (peer.exe.is_some(), "peer.exe"),
            (peer.exe_sha256.is_some(), "peer.exeSha256"),
            (peer.label.is_some(), "peer.label"),
            (peer.systemd_unit.is_some(), "peer.systemdUnit"),
            (peer.cgroup.is_some(), "peer.cgroup"),
            (pod.namespace.is_some(), "pod.namespace"),
            (pod.name.is_some(), "pod.name"),
            (!pod.labels.is_empty(), "pod.labels"),
            (pod.container.is_some(), "pod.container"),
            (pod.image_digest.is_some(), "pod.imageDigest"),
            (launched.path.is_some(), "launched.path"),
            (launched.sha256.is_some(), "launched.sha256"),
            (self.launched.as_ref() == Some(&none.2), "launched"),
        ];
        given.into_iter().filter_map(|(given, name)| given.then_some(name)).collect()
    }
}

fn digest(digest: Option<Sha256>) -> Proof {
    if digest.is_some() { Proof::Strong } else { Proof::Medium }
}

impl Sha256 {
    /// Reads 64 hexadecimal digits, with or without `sha256:`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let nibble = |digit: u8| char::from(digit).to_digit(16);
            let [high, low] = pair else { return None };
            *byte = u8::try_from(nibble(*high)? << 4 | nibble(*low)?).ok()?;
        }
        Some(Self(bytes))
    }
}

impl std::fmt::Display for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
