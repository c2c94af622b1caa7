//! Identity: what is known of a plugin, and which identity of a policy it is (`policy.md` 2).

use std::collections::BTreeMap;

use nri_wire::name::PluginName;
use serde::{Deserialize, Serialize};

use crate::document::policy::{self, Sha256};
use crate::document::word::Proof;
use crate::rule::glob::Glob;

/// What the kernel or the runtime vouches for about a plugin. The form of recorded lines (`policy.md` 2).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Facts {
    /// What was known of its process no longer holds: it is nobody, whatever name it has.
    #[serde(skip_serializing_if = "is_false")]
    pub lost: bool,
    /// Whether we started it. What is said about peers holds for others only (F2).
    #[serde(skip_serializing_if = "is_false")]
    pub launched: bool,
    /// Whether it is a script, whose interpreter is not vouched for.
    #[serde(skip_serializing_if = "is_false")]
    pub script: bool,
    /// The executable, in our mount namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// The SHA-256 of the executable, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its fs-verity digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verity: Option<String>,
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Supplementary groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<u32>,
    /// The label of the security module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The unit of systemd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub systemd_unit: Option<String>,
    /// The control group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// The name of the socket that it came by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// A key that it proved to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The pod that it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodFacts>,
}

/// What is known of the pod that a plugin runs in.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PodFacts {
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The container's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The digest of the container's image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
}

/// The `match` of an identity, ready to be held against plugins.
#[derive(Clone, Debug)]
pub struct Matcher {
    any_of: Vec<Self>,
    plugin_name: Option<Glob>,
    index: Option<Box<str>>,
    listener: Option<Glob>,
    peer: Option<Peer>,
    pod: Option<Pod>,
    launched: Option<Launched>,
}

#[derive(Clone, Debug)]
struct Peer {
    uid: Option<Vec<u32>>,
    gid: Option<Vec<u32>>,
    groups: Option<Vec<u32>>,
    exe: Option<Glob>,
    exe_sha256: Option<Sha256>,
    label: Option<Box<str>>,
    systemd_unit: Option<Glob>,
    cgroup: Option<Glob>,
}

#[derive(Clone, Debug)]
struct Pod {
    namespace: Option<Glob>,
    name: Option<Glob>,
    labels: BTreeMap<Box<str>, Box<str>>,
    container: Option<Glob>,
    image_digest: Option<Sha256>,
}

#[derive(Clone, Debug)]
struct Launched {
    path: Option<Glob>,
    sha256: Option<Sha256>,
}

static NOTHING: Facts = Facts {
    lost: false,
    launched: false,
    script: false,
    exe: None,
    sha256: None,
    verity: None,
    uid: None,
    gid: None,
    groups: Vec::new(),
    label: None,
    systemd_unit: None,
    cgroup: None,
    listener: None,
    key: None,
    pod: None,
};

impl Facts {
    /// Of a plugin of which nothing is known but the name that it gave itself.
    #[must_use]
    pub fn nothing() -> &'static Self {
        &NOTHING
    }
}

impl Matcher {
    /// Makes it ready.
    #[must_use]
    pub fn new(wanted: &policy::Match) -> Self {
        Self {
            any_of: wanted.any_of.iter().map(Self::new).collect(),
            plugin_name: text(wanted.plugin_name.as_deref()),
            index: wanted.index.clone(),
            listener: text(wanted.listener.as_deref()),
            peer: wanted.peer.as_ref().map(Peer::new),
            pod: wanted.pod.as_ref().map(Pod::new),
            launched: wanted
                .launched
                .as_ref()
                .map(|launched| Launched { path: path(launched.path.as_deref()), sha256: launched.sha256 }),
        }
    }

    /// Whether a plugin is what is wanted. A selector whose fact is not known does not hold.
    #[must_use]
    pub fn holds(&self, plugin: &PluginName, facts: &Facts) -> bool {
        !facts.lost
            && is(&self.plugin_name, Some(plugin.base()))
            && self.index.as_ref().is_none_or(|index| &**index == plugin.index())
            && is(&self.listener, facts.listener.as_deref())
            && self.peer.as_ref().is_none_or(|peer| peer.holds(facts))
            && self.pod.as_ref().is_none_or(|pod| facts.pod.as_ref().is_some_and(|facts| pod.holds(facts)))
            && self.launched.as_ref().is_none_or(|launched| launched.holds(facts))
            && (self.any_of.is_empty() || self.any_of.iter().any(|one| one.holds(plugin, facts)))
    }
}

impl Peer {
    fn new(wanted: &policy::Peer) -> Self {
        Self {
            uid: wanted.uid.clone(),
            gid: wanted.gid.clone(),
            groups: wanted.groups.clone(),
            exe: path(wanted.exe.as_deref()),
            exe_sha256: wanted.exe_sha256,
            label: wanted.label.clone(),
            systemd_unit: text(wanted.systemd_unit.as_deref()),
            cgroup: text(wanted.cgroup.as_deref()),
        }
    }

    /// Says nothing about a launched plugin, whose peer would be whoever made the socket pair (F2).
    fn holds(&self, facts: &Facts) -> bool {
        let number = |wanted: &Option<Vec<u32>>, found: &[u32]| {
            wanted.as_ref().is_none_or(|wanted| wanted.iter().any(|id| found.contains(id)))
        };
        !facts.launched
            && number(&self.uid, facts.uid.as_slice())
            && number(&self.gid, facts.gid.as_slice())
            && number(&self.groups, &facts.groups)
            && is(&self.exe, facts.exe.as_deref())
            && is_digest(self.exe_sha256, facts.sha256.as_deref())
            && self.label.as_deref().is_none_or(|label| facts.label.as_deref() == Some(label))
            && is(&self.systemd_unit, facts.systemd_unit.as_deref())
            && is(&self.cgroup, facts.cgroup.as_deref())
    }
}

impl Pod {
    fn new(wanted: &policy::Pod) -> Self {
        Self {
            namespace: text(wanted.namespace.as_deref()),
            name: text(wanted.name.as_deref()),
            labels: wanted.labels.clone(),
            container: text(wanted.container.as_deref()),
            image_digest: wanted.image_digest,
        }
    }

    fn holds(&self, facts: &PodFacts) -> bool {
        is(&self.namespace, facts.namespace.as_deref())
            && is(&self.name, facts.name.as_deref())
            && is(&self.container, facts.container.as_deref())
            && self.labels.iter().all(|(key, value)| facts.labels.get(&**key).is_some_and(|v| **v == **value))
            && is_digest(self.image_digest, facts.image_digest.as_deref())
    }
}

impl Launched {
    fn holds(&self, facts: &Facts) -> bool {
        facts.launched
            && is(&self.path, facts.exe.as_deref())
            && is_digest(self.sha256, facts.sha256.as_deref())
    }
}

/// How well a plugin is proven by an identity's `match`: of a launched script the interpreter is not vouched for.
#[must_use]
pub fn proof(wanted: &policy::Match, facts: &Facts) -> Proof {
    let proof = wanted.proof();
    if facts.launched && facts.script { proof.min(Proof::Medium) } else { proof }
}

fn is(wanted: &Option<Glob>, found: Option<&str>) -> bool {
    wanted.as_ref().is_none_or(|glob| found.is_some_and(|found| glob.is_match(found)))
}

fn is_digest(wanted: Option<Sha256>, found: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| found.and_then(Sha256::parse) == Some(wanted))
}

fn text(pattern: Option<&str>) -> Option<Glob> {
    pattern.map(Glob::text)
}

/// A pattern that is none was an error when it was read; here it matches no path.
fn path(pattern: Option<&str>) -> Option<Glob> {
    pattern.map(|pattern| Glob::path(pattern).unwrap_or_else(|_| Glob::text("")))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_false(value: &bool) -> bool {
    !*value
}
