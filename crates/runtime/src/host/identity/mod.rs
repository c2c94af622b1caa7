//! Who is at the other end of a connection, as the kernel tells it when the connection is accepted (`design.md` 5
//! "Identity", `policy.md` 2). What a plugin says about itself is no part of it.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `peer` | what is asked of the kernel, at once |
//! | `socket` | the socket options for it |
//! | `cgroup` | what the text of a process's cgroups means |
//! | `proof` | whether a process is still what it was |
//! | `digest` | digests of executables, which take their time |
//! | `witness` | who sent a message |

mod cgroup;
mod digest;
mod peer;
mod proof;
mod socket;
#[cfg(test)]
mod tests;
mod witness;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nri_policy::identity::{Facts, PodFacts};
use serde::{Serialize, Serializer};

pub(crate) use self::digest::Hasher;
pub(crate) use self::peer::{Exit, observe};
pub(crate) use self::proof::Proof;
#[cfg(test)]
pub(super) use self::tests::heir;
pub(crate) use self::witness::Witness;

/// What is known of a plugin without asking it. A fact that could not be established is absent.
///
/// Serialized it has the form of `facts` in recorded lines (`policy.md` 2), with `containerId`, `proofs` and
/// `assurance` besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// What was known of its process no longer holds, and nothing else here is known: whatever it says about itself, it
    /// is nobody.
    pub lost: bool,
    /// Started by this host.
    pub launched: bool,
    /// The file that it executes, in our mount namespace; absent if the process lives in another one, where any file
    /// may have any name.
    pub exe: Option<PathBuf>,
    /// Digest of that file's content. It comes some time after the connection.
    pub sha256: Option<Sha256>,
    /// A launched file is a script: its interpreter is not covered by the digest.
    pub script: bool,
    /// User of the process when it connected.
    pub uid: Option<u32>,
    /// Group of the process when it connected.
    pub gid: Option<u32>,
    /// Its other groups when it connected.
    pub groups: Vec<u32>,
    /// Its security label (SELinux, AppArmor, Smack) when it connected.
    pub label: Option<String>,
    /// The socket that it connected to, by the name that policies call it.
    pub listener: Option<Arc<str>>,
    /// Path of its cgroup.
    pub cgroup: Option<String>,
    /// The shallowest service or scope of that path.
    pub systemd_unit: Option<String>,
    /// The container that this cgroup belongs to: 64 hexadecimal digits.
    pub container_id: Option<String>,
    /// That container, if the runtime has told it.
    pub pod: Option<PodIdentity>,
}

/// A container of a pod, by names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PodIdentity {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Labels of the pod: its author's word.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Name of the container in it; empty for the pod's own sandbox process.
    pub container: String,
}

/// How well an identity is proven (`policy.md` 2, "Selectors").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Assurance {
    /// Nothing but what the plugin says.
    Weak,
    /// Facts of its process.
    Medium,
    /// Facts that decide what it executes.
    Strong,
}

/// A SHA-256 digest. Displayed in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sha256(pub [u8; 32]);

impl Identity {
    /// Of a plugin that we start from this file.
    pub(crate) fn of_launched(path: &Path, sha256: Option<Sha256>, script: bool) -> Self {
        Self { launched: true, exe: Some(path.to_owned()), sha256, script, ..Self::default() }
    }

    /// Whether two processes of one user execute the same file or content, or are of one container by name.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let same_user = self.uid.is_some() && self.uid == other.uid;
        let same_content = self.sha256.is_some() && self.sha256 == other.sha256;
        let same_file = self.exe.is_some() && self.exe == other.exe;
        let same_container = self.pod.as_ref().zip(other.pod.as_ref()).is_some_and(|(one, other)| {
            let names = |pod: &PodIdentity| [&pod.namespace, &pod.name, &pod.container].map(String::clone);
            !one.container.is_empty() && names(one) == names(other)
        });
        same_user && (same_content || same_file || same_container)
    }

    /// What has been established, as the policy's selectors name it (`policy.md` 2).
    #[must_use]
    pub fn proofs(&self) -> Vec<&'static str> {
        let facts = match self.launched {
            true => vec![("launched.path", self.exe.is_some()), ("launched.sha256", self.sha256.is_some())],
            false => vec![
                ("peer.uid", self.uid.is_some()),
                ("peer.gid", self.gid.is_some()),
                ("peer.groups", !self.groups.is_empty()),
                ("listener", self.listener.is_some()),
                ("peer.label", self.label.is_some()),
                ("peer.exe", self.exe.is_some()),
                ("peer.exeSha256", self.sha256.is_some()),
                ("peer.systemdUnit", self.systemd_unit.is_some()),
                ("peer.cgroup", self.cgroup.is_some()),
                ("pod.namespace", self.pod.is_some()),
                ("pod.name", self.pod.is_some()),
                ("pod.labels", self.pod.as_ref().is_some_and(|pod| !pod.labels.is_empty())),
                ("pod.container", self.pod.as_ref().is_some_and(|pod| !pod.container.is_empty())),
            ],
        };
        facts.into_iter().filter(|(_, known)| *known).map(|(name, _)| name).collect()
    }

    /// The same as policies know it.
    #[must_use]
    pub fn facts(&self) -> Facts {
        Facts {
            lost: self.lost,
            launched: self.launched,
            script: self.script,
            exe: self.exe.as_ref().map(|path| path.to_string_lossy().into_owned()),
            sha256: self.sha256.map(|digest| digest.to_string()),
            uid: self.uid,
            gid: self.gid,
            groups: self.groups.clone(),
            label: self.label.clone(),
            systemd_unit: self.systemd_unit.clone(),
            cgroup: self.cgroup.clone(),
            listener: self.listener.as_deref().map(str::to_owned),
            pod: self.pod.as_ref().map(|pod| PodFacts {
                namespace: Some(pod.namespace.clone()),
                name: Some(pod.name.clone()),
                labels: pod.labels.clone(),
                container: Some(pod.container.clone()).filter(|name| !name.is_empty()),
                image_digest: None,
            }),
            ..Facts::default()
        }
    }

    /// The best that any of these proofs is worth. A launched script is worth no more than its path.
    #[must_use]
    pub fn assurance(&self) -> Assurance {
        match (self.launched, self.sha256, self.script) {
            (true, Some(_), false) => Assurance::Strong,
            _ if self.proofs().is_empty() => Assurance::Weak,
            _ => Assurance::Medium,
        }
    }
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Facts<'a> {
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            lost: bool,
            launched: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            exe: Option<std::borrow::Cow<'a, str>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            sha256: Option<Sha256>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            script: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            uid: Option<u32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            gid: Option<u32>,
            #[serde(skip_serializing_if = "<[u32]>::is_empty")]
            groups: &'a [u32],
            #[serde(skip_serializing_if = "Option::is_none")]
            label: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            listener: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            systemd_unit: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            cgroup: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            container_id: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pod: Option<&'a PodIdentity>,
            proofs: Vec<&'static str>,
            assurance: Assurance,
        }
        Facts {
            lost: self.lost,
            launched: self.launched,
            exe: self.exe.as_deref().map(Path::to_string_lossy),
            sha256: self.sha256,
            script: self.script,
            uid: self.uid,
            gid: self.gid,
            groups: &self.groups,
            label: self.label.as_deref(),
            listener: self.listener.as_deref(),
            systemd_unit: self.systemd_unit.as_deref(),
            cgroup: self.cgroup.as_deref(),
            container_id: self.container_id.as_deref(),
            pod: self.pod.as_ref(),
            proofs: self.proofs(),
            assurance: self.assurance(),
        }
        .serialize(serializer)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
