//! A policy's digest: what a proof about it is bound to.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::policy::{Entry, Extra, Policy};

/// SHA-256 of the canonical form of a policy, or of having none.
///
/// Two policies have the same digest iff they are the same member by member, whatever the JSON they were read from looked
/// like. Policies that only mean the same have different ones.
///
/// ```
/// use nri_seccomp::digest::Digest;
/// use nri_seccomp::policy::Policy;
/// use nri_seccomp::term::Action;
///
/// let policy = Policy::new(Action::Allow);
/// assert_eq!(Digest::of(Some(&policy)), policy.clone().digest());
/// assert_ne!(Digest::of(None), policy.digest());
/// assert_eq!(policy.digest().to_string().len(), 64);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of a policy, or of having none.
    #[must_use]
    pub fn of(policy: Option<&Policy>) -> Self {
        policy.map_or_else(|| Canonical::new("none").end(), Policy::digest)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Policy {
    /// The digest of every member, also of those that the model does not know: to another reader they may mean something.
    #[must_use]
    pub fn digest(&self) -> Digest {
        // Taken apart, so that a new member does not compile until it has a place here.
        let Self {
            default_action,
            default_errno,
            architectures,
            flags,
            listener_path,
            listener_metadata,
            syscalls,
            extra,
        } = self;
        let mut form = Canonical::new("policy");
        form.text(default_action.as_str());
        form.number(default_errno.map(u64::from));
        form.list(architectures, |form, arch| form.text(arch.as_str()));
        form.list(flags, |form, flag| form.text(flag.as_str()));
        form.text(listener_path.as_deref().unwrap_or_default());
        form.text(listener_metadata.as_deref().unwrap_or_default());
        form.list(syscalls, Canonical::entry);
        form.extra(extra);
        form.end()
    }
}

/// The canonical form on its way into the hash. Every part has its length or count in front, so that no two policies
/// have one form.
struct Canonical(Sha256);

impl Canonical {
    fn new(kind: &str) -> Self {
        let mut form = Self(Sha256::new());
        form.text(kind);
        form
    }

    fn entry(&mut self, entry: &Entry) {
        let Entry { names, action, errno, args, extra } = entry;
        self.list(names, |form, name| form.text(name));
        self.text(action.as_str());
        self.number(errno.map(u64::from));
        self.list(args, |form, condition| {
            form.number(Some(condition.index.into()));
            form.number(Some(condition.value));
            form.number(Some(condition.value_two));
            form.text(condition.op.as_str());
            form.extra(&condition.extra);
        });
        self.extra(extra);
    }

    fn extra(&mut self, extra: &Extra) {
        let members: Vec<(&String, String)> =
            extra.iter().map(|(key, value)| (key, value.to_string())).collect();
        self.list(&members, |form, (key, value)| {
            form.text(key);
            form.text(value);
        });
    }

    fn list<T>(&mut self, list: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.length(list.len());
        for element in list {
            each(self, element);
        }
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.update(text.as_bytes());
    }

    fn number(&mut self, number: Option<u64>) {
        match number {
            None => self.0.update([0]),
            Some(number) => {
                self.0.update([1]);
                self.0.update(number.to_le_bytes());
            }
        }
    }

    fn length(&mut self, length: usize) {
        self.0.update(u64::try_from(length).unwrap_or(u64::MAX).to_le_bytes());
    }

    fn end(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn digest(json: &serde_json::Value) -> Digest {
        Policy::from_json(json).unwrap().digest()
    }

    #[test]
    fn each_member_counts() {
        let base = json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"], "listenerPath": "/l", "listenerMetadata": "m",
            "syscalls": [{"names": ["a", "b"], "action": "SCMP_ACT_LOG", "errnoRet": 2,
                          "args": [{"index": 1, "value": 2, "valueTwo": 3, "op": "SCMP_CMP_EQ", "x": 1}], "x": 2}],
            "x": 3
        });
        let edits = [
            ("/defaultAction", json!("SCMP_ACT_TRAP")),
            ("/defaultErrnoRet", json!(null)),
            ("/defaultErrnoRet", json!(0)),
            ("/architectures/0", json!("SCMP_ARCH_X32")),
            ("/flags/0", json!("SECCOMP_FILTER_FLAG_TSYNC")),
            ("/listenerPath", json!("/m")),
            ("/listenerMetadata", json!(null)),
            ("/syscalls", json!([])),
            ("/syscalls/0/names", json!(["ab"])),
            ("/syscalls/0/names/0", json!("c")),
            ("/syscalls/0/action", json!("SCMP_ACT_ALLOW")),
            ("/syscalls/0/errnoRet", json!(1)),
            ("/syscalls/0/args/0/index", json!(0)),
            ("/syscalls/0/args/0/value", json!(0)),
            ("/syscalls/0/args/0/valueTwo", json!(0)),
            ("/syscalls/0/args/0/op", json!("SCMP_CMP_NE")),
            ("/syscalls/0/args/0/x", json!(2)),
            ("/syscalls/0/x", json!(3)),
            ("/x", json!(4)),
        ];
        let mut seen = vec![Digest::of(None), digest(&base)];
        for (path, value) in edits {
            let mut edited = base.clone();
            *edited.pointer_mut(path).unwrap() = value;
            let digest = digest(&edited);
            assert!(!seen.contains(&digest), "{path}");
            seen.push(digest);
        }
        // Null and absent, and the order of members, are not seen.
        assert_eq!(
            digest(&json!({"flags": null, "defaultAction": "SCMP_ACT_LOG", "listenerPath": ""})),
            digest(&json!({"defaultAction": "SCMP_ACT_LOG"}))
        );
    }
}
